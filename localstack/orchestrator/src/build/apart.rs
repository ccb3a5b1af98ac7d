//! For a machine that is not known: a program for each function, as on AWS, by cargo-lambda.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io, iter};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::built::{BILLING_SERVICE, Built, Code};
use super::cargo::cargo;
use crate::cache::{Cache, Environment};
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

/// All in one go, so that what the functions share is compiled once.
pub(super) fn build(settings: &Settings, step: &Step<'_>, functions: &[Function]) -> Result<Built> {
    let tools = Cache::new(settings).python_environment(step, Environment::Build)?;
    let compiled = settings.directory.join("deploy/compiled");
    // What is there after the build is from this build.
    files::remove(&compiled)?;
    let tool = Tool::new(step, &settings.log("build"))?;
    // The linker is a Python package.
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::split_paths(&path);
    let path = env::join_paths(iter::once(tools.programs()).chain(path))?;
    let mut build = cargo(settings, tools.program("cargo-lambda"));
    build
        .args(["lambda", "build", "--profile", &settings.profile])
        .arg("--lambda-dir")
        .arg(&compiled)
        .env("PATH", path);
    let binaries = functions.iter().map(|function| function.binary.as_str());
    for binary in binaries.clone().chain([BILLING_SERVICE]) {
        build.args(["--bin", binary]);
    }
    tool.run(&mut build)?;

    step.doing("packing what has changed");
    let packed = settings.directory.join("deploy/packed");
    let pack = |binary: &str, name: &str| {
        let program = compiled.join(binary).join("bootstrap");
        pack(&program, &packed.join(binary), name)
    };
    let functions: BTreeMap<_, _> = binaries
        .map(|binary| Ok((binary.to_owned(), pack(binary, "bootstrap")?)))
        .collect::<Result<_>>()?;
    let billing_service = pack(BILLING_SERVICE, BILLING_SERVICE)?.folder;
    let folders = functions.values().map(|code| code.folder.clone());
    Ok(Built {
        billing_service: billing_service.join(BILLING_SERVICE),
        folders: folders.chain([billing_service]).collect(),
        functions,
    })
}

/// What was packed, and from which file.
#[derive(Serialize, Deserialize)]
struct Packed {
    /// Size and time of the program: as long as they stay, there is nothing to read.
    program: String,
    fingerprint: String,
}

/// Puts a program under this name into a folder of its own, unless the very same is there
/// already. Symbols for debugging stay behind: nobody needs them to load.
fn pack(program: &Path, folder: &Path, name: &str) -> Result<Code> {
    let cannot_read = || format!("cannot read {}", program.display());
    let stamp = Fingerprint::default()
        .with_build_of(program)
        .with_context(cannot_read)?
        .finish();
    let mut record = folder.as_os_str().to_owned();
    record.push(".json");
    let record = PathBuf::from(record);
    let known = files::read_json::<Packed>(&record)?.filter(|packed| packed.program == stamp);
    let fingerprint = if let Some(packed) = known {
        packed.fingerprint
    } else {
        let content = fs::read(program).with_context(cannot_read)?;
        Fingerprint::default().with(content).finish()
    };
    let code = Code {
        folder: folder.join(&fingerprint),
        fingerprint,
    };
    if !code.folder.exists() {
        let fresh = folder.join("fresh");
        files::remove(&fresh)?;
        files::create_folder(&fresh)?;
        let packed = fresh.join(name);
        if !strip(program, &packed)? {
            fs::copy(program, &packed)?;
        }
        fs::rename(&fresh, &code.folder)?;
    }
    let packed = Packed {
        program: stamp,
        fingerprint: code.fingerprint.clone(),
    };
    files::replace_json(&record, &packed)?;
    Ok(code)
}

/// Returns whether it worked: not every machine has the program for it.
fn strip(program: &Path, stripped: &Path) -> io::Result<bool> {
    match Command::new("strip")
        .arg("-o")
        .arg(stripped)
        .arg(program)
        .output()
    {
        Ok(output) => Ok(output.status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_packed_again_only_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let target = folder.path().join("function");
        fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
        let first = pack(&program, &target, "bootstrap").unwrap();
        fs::write(first.folder.join("bootstrap"), "marked").unwrap();

        // Written again, but the same.
        fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
        assert_eq!(pack(&program, &target, "bootstrap").unwrap(), first);
        assert_eq!(fs::read(first.folder.join("bootstrap")).unwrap(), b"marked");

        fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        let second = pack(&program, &target, "bootstrap").unwrap();
        assert_ne!(second.fingerprint, first.fingerprint);
        assert!(first.folder.exists(), "it may still be in use");

        assert!(second.folder.join("bootstrap").exists());
    }
}

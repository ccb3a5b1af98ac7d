//! Compiling what is deployed: the functions and the billing service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io, iter};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::cache::PythonEnvironment;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::services::Service;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

const BILLING_SERVICE: &str = "billing-service";

/// What is deployed and started.
pub struct Built {
    /// The code of each function, by the name of its program.
    pub functions: BTreeMap<String, Code>,
    /// The program of the billing service.
    pub billing_service: PathBuf,
}

/// The code of one function, ready to be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// A folder with nothing in it but the function's `bootstrap`. Other code is in
    /// another folder.
    pub folder: PathBuf,
    /// Changes with the code.
    pub fingerprint: String,
}

impl Code {
    /// Removes earlier code of the same function, which nobody uses any more.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove_earlier(&self) -> Result<()> {
        let all = self.folder.parent().unwrap_or(&self.folder);
        for entry in fs::read_dir(all)? {
            let path = entry?.path();
            if path != self.folder {
                files::remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Compiles the functions and the billing service, all in one go with cargo-lambda, so
/// that what they share is compiled once.
///
/// # Errors
/// If something does not compile.
pub fn build(
    settings: &Settings,
    step: &Step<'_>,
    tools: &PythonEnvironment,
    functions: &[Function],
) -> Result<Built> {
    let compiled = settings.directory.join("deploy/compiled");
    // What is there after the build is from this build.
    files::remove(&compiled)?;
    let tool = Tool::new(step, &settings.log("build"))?;
    let mut build = cargo(settings, tools.program("cargo-lambda"));
    build
        .args(["lambda", "build", "--profile", &settings.profile])
        .arg("--lambda-dir")
        .arg(&compiled);
    if settings.starts(Service::Localstack) {
        // For this very machine: then cargo alone is enough, and what it has compiled
        // for tests is used again.
        build.args(["--compiler", "cargo"]);
    } else {
        // For a machine that is not known. The linker for that is a Python package.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path);
        let path = std::env::join_paths(iter::once(tools.programs()).chain(path))?;
        build.env("PATH", path);
    }
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
    let functions = binaries
        .map(|binary| Ok((binary.to_owned(), pack(binary, "bootstrap")?)))
        .collect::<Result<_>>()?;
    let billing_service = pack(BILLING_SERVICE, BILLING_SERVICE)?;
    billing_service.remove_earlier()?;
    Ok(Built {
        functions,
        billing_service: billing_service.folder.join(BILLING_SERVICE),
    })
}

fn cargo(settings: &Settings, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&settings.repository)
        // The queries are checked against what is committed, not against a database
        // that has not been migrated yet.
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL");
    without_traces_of_cargo_run(&mut command);
    command
}

/// Takes away what `cargo run` has told this program about its own package. Build scripts
/// ask for such variables, and would make cargo compile anew what is there already.
pub fn without_traces_of_cargo_run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let readable = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| readable.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
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

        second.remove_earlier().unwrap();
        assert!(!first.folder.exists());
        assert!(second.folder.join("bootstrap").exists());
    }
}

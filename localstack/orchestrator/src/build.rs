//! Compiling what is deployed: the functions and the billing service.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cache::PythonEnvironment;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

/// The code of one function, ready to be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// A folder with nothing in it but the function's `bootstrap`.
    pub folder: PathBuf,
    /// Changes with the code.
    pub fingerprint: String,
}

/// Compiles all functions with cargo-lambda. Returns the code by the name of the program.
///
/// # Errors
/// If something does not compile.
pub fn functions(
    settings: &Settings,
    step: &Step<'_>,
    tools: &PythonEnvironment,
    functions: &[Function],
) -> Result<BTreeMap<String, Code>> {
    let compiled = settings.directory.join("deploy/compiled");
    let tool = Tool::new(step, &settings.log("build-functions"))?;
    let mut build = cargo(settings, tools.program("cargo-lambda"));
    build
        .args(["lambda", "build", "--lambda-dir"])
        .arg(&compiled)
        .args(["--profile", &settings.profile]);
    if settings.starts(crate::services::Service::Localstack) {
        // For this very machine: then cargo alone is enough, and what it has compiled
        // for tests is used again.
        build.args(["--compiler", "cargo"]);
    }
    for function in functions {
        build.args(["--bin", &function.binary]);
    }
    tool.run(&mut build)?;

    step.doing("comparing with what is deployed");
    let packages = settings.directory.join("deploy/functions");
    functions
        .iter()
        .map(|function| {
            let program = compiled.join(&function.binary).join("bootstrap");
            let code = package(&program, &packages.join(&function.binary))?;
            Ok((function.binary.clone(), code))
        })
        .collect()
}

/// Compiles the billing service. Returns its program.
///
/// # Errors
/// If it does not compile.
pub fn billing_service(settings: &Settings, step: &Step<'_>) -> Result<PathBuf> {
    let tool = Tool::new(step, &settings.log("build-billing"))?;
    // Not by package: as part of the whole workspace, its dependencies have the same
    // features as those of the functions, and are compiled once.
    let messages = tool.capture(
        cargo(settings, "cargo")
            .args([
                "build",
                "--bin",
                "billing-service",
                "--profile",
                &settings.profile,
            ])
            .arg("--message-format=json-render-diagnostics"),
    )?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "billing-service")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| {
            tool.failure("cargo did not build the billing service")
                .into()
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

/// Puts the program into the folder that is deployed, if it is not the same already.
/// Symbols for debugging stay behind: they would be zipped, uploaded and unpacked.
fn package(program: &Path, folder: &Path) -> Result<Code> {
    let content =
        fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let fingerprint = Fingerprint::default().with(&content).finish();
    let code = Code {
        folder: folder.join("code"),
        fingerprint,
    };
    let packaged = folder.join("fingerprint");
    if fs::read_to_string(&packaged).is_ok_and(|known| known == code.fingerprint) {
        return Ok(code);
    }
    files::remove(folder)?;
    files::create_folder(&code.folder)?;
    let bootstrap = code.folder.join("bootstrap");
    if !strip(program, &bootstrap)? {
        fs::copy(program, &bootstrap)?;
    }
    files::replace(&packaged, code.fingerprint.as_bytes())?;
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
    fn code_is_packaged_again_only_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let target = folder.path().join("function");
        fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
        let first = package(&program, &target).unwrap();
        let bootstrap = first.folder.join("bootstrap");
        fs::write(&bootstrap, "marked").unwrap();

        assert_eq!(package(&program, &target).unwrap(), first);
        assert_eq!(fs::read_to_string(&bootstrap).unwrap(), "marked");

        fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        let second = package(&program, &target).unwrap();
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(
            fs::read_to_string(&bootstrap).unwrap(),
            "#!/bin/sh\nexit 1\n"
        );
    }
}

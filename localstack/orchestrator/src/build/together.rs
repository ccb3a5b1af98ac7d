//! For this machine: all functions in one program, `programs/src/local`, which is linked
//! once. Each function has a `bootstrap` of its own, a script that becomes this program under
//! the function's name.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::built::{BILLING_SERVICE, Built, Code};
use super::cargo::cargo;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::progress::Step;
use crate::settings::Settings;
use crate::template::Function;
use crate::tool::Tool;

const PROGRAM: &str = "functions";

pub(super) fn build(settings: &Settings, step: &Step<'_>, functions: &[Function]) -> Result<Built> {
    let tool = Tool::new(step, &settings.log("build"))?;
    let mut build = cargo(settings, "cargo");
    build
        .args(["build", "--profile", &settings.profile, "--bin", PROGRAM])
        // Where the program is, is on the standard output; errors are for people, in the log.
        .args(["--message-format", "json-render-diagnostics"]);
    let program = executable(&tool.capture(&mut build)?)
        .context("cargo does not say where it has put the functions")?;
    step.doing("putting it where the functions find it");
    // What cargo-lambda has built for another kind of stack, or for an earlier version.
    files::remove(&settings.directory.join("deploy/compiled"))?;
    let programs = functions.iter().map(|function| function.binary.as_str());
    place(
        &program,
        &settings.directory.join("deploy/packed"),
        programs,
    )
}

/// A message of cargo's about a target that is up to date.
#[derive(Deserialize)]
struct Artifact {
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.target.name == PROGRAM)
        .find_map(|artifact| artifact.executable)
}

/// Puts the program and a `bootstrap` for each function into a folder for this build. What is
/// running from the folder of another build goes on.
fn place<'a>(
    program: &Path,
    all: &Path,
    functions: impl Iterator<Item = &'a str>,
) -> Result<Built> {
    let fingerprint = Fingerprint::default()
        .with_build_of(program)
        .with_context(|| format!("cannot read {}", program.display()))?
        .finish();
    let folder = all.join(PROGRAM).join(&fingerprint);
    let placed = folder.join(PROGRAM);
    if !placed.exists() {
        files::create_folder(&folder)?;
        // The very file: cargo puts another one into its place when it builds again.
        let fresh = folder.join("fresh");
        files::remove(&fresh)?;
        if fs::hard_link(program, &fresh).is_err() {
            fs::copy(program, &fresh)?;
        }
        fs::rename(&fresh, &placed)?;
    }
    let billing = all.join(BILLING_SERVICE).join(&fingerprint);
    let mut built = Built {
        functions: BTreeMap::new(),
        billing_service: billing.join(BILLING_SERVICE),
        folders: vec![folder, billing],
    };
    write_script(&built.billing_service, &placed, BILLING_SERVICE)?;
    for name in functions {
        let folder = all.join(name).join(&fingerprint);
        write_script(&folder.join("bootstrap"), &placed, name)?;
        built.folders.push(folder.clone());
        let fingerprint = fingerprint.clone();
        let code = Code {
            folder,
            fingerprint,
        };
        built.functions.insert(name.to_owned(), code);
    }
    Ok(built)
}

fn write_script(path: &Path, program: &Path, name: &str) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    files::create_folder(folder)?;
    let fresh = folder.join("fresh");
    let quoted = program.to_string_lossy().replace('\'', r"'\''");
    fs::write(&fresh, format!("#!/bin/sh\nexec '{quoted}' {name}\n"))
        .and_then(|()| fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&fresh, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn build_into(folder: &Path, script: &str) -> Built {
        let program = folder.join("compiled");
        // Another file, as cargo does it.
        files::remove(&program).unwrap();
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        place(&program, &folder.join("packed it's"), ["login"].into_iter()).unwrap()
    }

    fn answer(built: &Built) -> String {
        let bootstrap = built.functions["login"].folder.join("bootstrap");
        let output = Command::new(bootstrap).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_bootstrap_becomes_the_program_under_its_functions_name() {
        let folder = tempfile::tempdir().unwrap();
        let built = build_into(folder.path(), "#!/bin/sh\necho \"I am $1\"\n");
        assert_eq!(answer(&built), "I am login\n");
    }

    #[test]
    fn earlier_code_goes_on_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let first = build_into(folder.path(), "#!/bin/sh\necho first\n");
        let second = build_into(folder.path(), "#!/bin/sh\necho the second\n");
        assert_ne!(
            first.functions["login"].fingerprint,
            second.functions["login"].fingerprint
        );
        assert_eq!(answer(&first), "first\n");

        second.remove_earlier().unwrap();
        assert!(!first.functions["login"].folder.exists());
        assert!(!first.folders[0].exists());
        assert_eq!(answer(&second), "the second\n");
    }

    #[test]
    fn nothing_stays_of_functions_that_are_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let built = build_into(folder.path(), "#!/bin/sh\necho first\n");
        let removed = folder.path().join("packed it's/removed-function");
        files::replace(&removed.join("1f/bootstrap"), b"#!/bin/sh").unwrap();
        built.remove_earlier().unwrap();
        assert!(!removed.exists());
        assert!(
            built.billing_service.exists(),
            "it is started again from there"
        );
        assert_eq!(answer(&built), "first\n");
    }

    #[test]
    fn cargo_says_where_the_program_is() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"patients"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"functions"},"executable":"/target/debug/functions"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages), Some("/target/debug/functions".into()));
    }
}

//! Compiling what is deployed: the functions and the billing service.

mod apart;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::files;
use crate::progress::Step;
use crate::service::Service;
use crate::settings::Settings;
use crate::template::Function;

const BILLING_SERVICE: &str = "billing-service";

/// What is deployed and started.
pub struct Built {
    /// The code of each function, by the name of its program.
    pub functions: BTreeMap<String, Code>,
    /// The program of the billing service.
    pub billing_service: PathBuf,
    /// The folders of this build. Those beside them are of earlier ones.
    folders: Vec<PathBuf>,
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

impl Built {
    /// Removes what earlier builds have left, which nobody uses any more.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove_earlier(&self) -> Result<()> {
        let current: BTreeSet<&Path> = self.folders.iter().map(PathBuf::as_path).collect();
        let names: BTreeSet<&Path> = current.iter().filter_map(|path| path.parent()).collect();
        // Beside the names: functions that are no more, and notes about them.
        let all: BTreeSet<&Path> = names.iter().filter_map(|path| path.parent()).collect();
        for folder in all.iter().chain(&names) {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let is_note =
                    path.extension().is_some() && names.contains(&*path.with_extension(""));
                if !names.contains(&*path) && !current.contains(&*path) && !is_note {
                    files::remove(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Compiles the functions and the billing service.
///
/// # Errors
/// If something does not compile.
pub fn build(settings: &Settings, step: &Step<'_>, functions: &[Function]) -> Result<Built> {
    if settings.starts(Service::Localstack) {
        together::build(settings, step, functions)
    } else {
        apart::build(settings, step, functions)
    }
}

/// A call of a program of cargo's, whose progress can be read in its log.
fn cargo(settings: &Settings, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&settings.repository)
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
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

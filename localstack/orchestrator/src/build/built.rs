//! What a build has made, and what earlier ones have left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::files;

/// The program of the billing service.
pub(super) const BILLING_SERVICE: &str = "billing-service";

/// What is deployed and started.
pub struct Built {
    /// The code of each function, by the name of its program.
    pub functions: BTreeMap<String, Code>,
    /// The program of the billing service.
    pub billing_service: PathBuf,
    /// The folders of this build. Those beside them are of earlier ones.
    pub(super) folders: Vec<PathBuf>,
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

//! What is measured: the binaries, and the environment of each.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    Options,
    build::{self, BARE_FUNCTION},
    chosen, deployed,
};

/// A binary that Lambda would run.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) binary: String,
    /// Its file.
    pub(crate) program: PathBuf,
    /// What it is called with: nothing, unless another program runs it.
    pub(crate) arguments: Vec<OsString>,
    /// The environment variables from the deployment.
    pub(crate) settings: BTreeMap<String, String>,
}

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Subjects {
    /// The functions, in the template's order.
    pub(crate) functions: Vec<Subject>,
    /// The bare function, the reference for their starts.
    pub(crate) bare: Subject,
}

impl Subjects {
    /// The chosen functions as built, with their settings as deployed.
    ///
    /// # Errors
    /// If one has not been built, or the stack is not running.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let mut functions = Vec::new();
        for function in chosen::functions(options)? {
            let settings = deployed::settings(&function.name)?;
            functions.push(Subject::built(options, &function.binary, settings)?);
        }
        let bare = Subject::built(options, BARE_FUNCTION, BTreeMap::new())?;
        Ok(Self { functions, bare })
    }

    /// The function with this name, if it was chosen.
    pub(crate) fn function(&self, binary: &str) -> Option<&Subject> {
        self.functions
            .iter()
            .find(|subject| subject.binary == binary)
    }
}

impl Subject {
    fn built(options: &Options, binary: &str, settings: BTreeMap<String, String>) -> Result<Self> {
        Self::of(binary, &build::program(options, binary), settings)
    }

    /// This program, which has been built for the function.
    ///
    /// # Errors
    /// If it has not.
    pub(crate) fn of(
        binary: &str,
        program: &Path,
        settings: BTreeMap<String, String>,
    ) -> Result<Self> {
        if !program.exists() {
            bail!("{} has not been built", program.display());
        }
        Ok(Self {
            binary: binary.to_owned(),
            program: program.to_owned(),
            arguments: Vec::new(),
            settings,
        })
    }
}

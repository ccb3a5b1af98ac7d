//! What is measured: the programs, and the environment that each of them runs in.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Result, bail};

use crate::{
    Options,
    build::{self, BARE_FUNCTION},
    chosen, deployed,
};

/// A program that Lambda would run.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name.
    pub(crate) binary: String,
    /// Its file.
    pub(crate) program: PathBuf,
    /// The environment variables that the deployment gives it.
    pub(crate) settings: BTreeMap<String, String>,
}

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Subjects {
    /// The functions, in the template's order of names.
    pub(crate) functions: Vec<Subject>,
    /// What their starts are compared with.
    pub(crate) bare: Subject,
}

impl Subjects {
    /// The chosen functions as they have been built, with their settings as they have
    /// been deployed.
    ///
    /// # Errors
    /// If one has not been built, or the stack is not up.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let mut functions = Vec::new();
        for function in chosen::functions(options)? {
            let settings = deployed::settings(&function.name)?;
            functions.push(Subject::built(options, &function.binary, settings)?);
        }
        let bare = Subject::built(options, BARE_FUNCTION, BTreeMap::new())?;
        Ok(Self { functions, bare })
    }

    /// The function of this name, if it was chosen.
    pub(crate) fn function(&self, binary: &str) -> Option<&Subject> {
        self.functions
            .iter()
            .find(|subject| subject.binary == binary)
    }
}

impl Subject {
    fn built(options: &Options, binary: &str, settings: BTreeMap<String, String>) -> Result<Self> {
        let program = build::program(options, binary);
        if !program.exists() {
            bail!("{} has not been built", program.display());
        }
        Ok(Self {
            binary: binary.to_owned(),
            program,
            settings,
        })
    }
}

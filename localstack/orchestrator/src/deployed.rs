//! What is remembered of a deployment. LocalStack forgets everything when it ends, so that
//! what is remembered is about one LocalStack only, named by its session.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::settings::Settings;

/// What is deployed right now, as far as this program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The LocalStack it was deployed to.
    pub session: String,
    /// The template and its parameters.
    pub template: String,
    /// The code of each function, by program.
    pub functions: BTreeMap<String, String>,
    /// Where the API is.
    pub api_url: String,
    /// What the stack was provisioned with, once it has been.
    pub provisioned: Option<String>,
}

impl Deployed {
    /// What is deployed to the LocalStack of this session; `None` if nothing is known to be.
    ///
    /// # Errors
    /// If what is remembered cannot be read.
    pub fn read(settings: &Settings, session: &str) -> Result<Option<Self>> {
        let deployed = files::read_json::<Self>(&state_file(settings))?;
        Ok(deployed.filter(|deployed| deployed.session == session))
    }

    /// Remembers it as a whole deployment.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn remember(&self, settings: &Settings) -> Result<()> {
        files::replace_json(&state_file(settings), self)?;
        files::remove(&unfinished_file(settings))
    }

    /// Remembers that the stack was provisioned.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn remember_provisioning(&mut self, settings: &Settings, with: String) -> Result<()> {
        self.provisioned = Some(with);
        files::replace_json(&state_file(settings), self)
    }

    /// Changes with the code of a program.
    #[must_use]
    pub fn code_of(&self, binary: &str) -> Option<&str> {
        self.functions.get(binary).map(String::as_str)
    }
}

/// Whether LocalStack has something that is not a whole deployment, or not the wanted
/// one. There is nothing to go on from then: it has to begin anew.
#[must_use]
pub fn is_discarded(settings: &Settings) -> bool {
    unfinished_file(settings).exists()
}

/// Gives up what LocalStack has.
///
/// # Errors
/// If that cannot be written down.
pub fn discard(settings: &Settings) -> Result<()> {
    files::remove(&state_file(settings))?;
    files::replace(&unfinished_file(settings), b"")
}

/// To be called when LocalStack has nothing.
///
/// # Errors
/// If what is remembered cannot be removed.
pub fn forget(settings: &Settings) -> Result<()> {
    files::remove(&state_file(settings))?;
    files::remove(&unfinished_file(settings))
}

fn state_file(settings: &Settings) -> PathBuf {
    settings.directory.join("deploy/deployed.json")
}

fn unfinished_file(settings: &Settings) -> PathBuf {
    settings.directory.join("deploy/unfinished")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settings(directory: &Path) -> Settings {
        let mut settings = Settings::from_environment().unwrap();
        settings.directory = directory.to_path_buf();
        settings
    }

    fn deployed(session: &str) -> Deployed {
        Deployed {
            session: session.to_owned(),
            template: "t".to_owned(),
            functions: BTreeMap::new(),
            api_url: String::new(),
            provisioned: None,
        }
    }

    #[test]
    fn a_deployment_is_remembered_for_as_long_as_its_localstack_runs() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let mut first = deployed("first");
        first.remember(&settings).unwrap();
        first
            .remember_provisioning(&settings, "users".to_owned())
            .unwrap();
        assert_eq!(Deployed::read(&settings, "first").unwrap(), Some(first));
        assert_eq!(Deployed::read(&settings, "second").unwrap(), None);
    }

    #[test]
    fn what_is_given_up_is_not_gone_on_from_until_there_is_a_whole_deployment() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        deployed("a").remember(&settings).unwrap();
        discard(&settings).unwrap();
        assert!(is_discarded(&settings));
        assert_eq!(Deployed::read(&settings, "a").unwrap(), None);
        deployed("a").remember(&settings).unwrap();
        assert!(!is_discarded(&settings));
    }
}

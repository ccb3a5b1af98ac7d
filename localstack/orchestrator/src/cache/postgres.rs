//! PostgreSQL's programs.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::folder::Cache;
use super::python::{Environment, python_command};
use crate::fingerprint::Fingerprint;
use crate::progress::Step;

impl Cache<'_> {
    /// The folder with `postgres` and `initdb`, as `localstack/postgres/programs.lock` names them.
    ///
    /// # Errors
    /// If they cannot be fetched, or are not what the lock says.
    pub fn postgres_programs(&self, step: &Step<'_>) -> Result<PathBuf> {
        let lock = self.recipes().join("postgres/programs.lock");
        let content = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let version = Fingerprint::default().with(content).finish();
        let folder = self.settings.cache.join(format!("postgres-{version}"));
        let programs = folder.join("bin");
        // It has what fetches from Maven Central.
        let python = self.python_environment(step, Environment::Kafka)?;
        self.install(step, &folder, &programs.join("postgres"), |tool| {
            step.doing("fetching PostgreSQL's programs");
            let network = self.uv(step)?.network();
            tool.run(
                python_command(&python.python())
                    .envs(network)
                    .arg(self.recipes().join("postgres/programs.py"))
                    .arg(&folder),
            )
        })?;
        Ok(programs)
    }
}

//! The jars of the Kafka broker.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::folder::Cache;
use super::python::{Environment, python_command};
use crate::fingerprint::Fingerprint;
use crate::progress::Step;

/// The one whose presence stands for all.
const BROKER: &str = "kafka_2.13-4.4.0.jar";

impl Cache<'_> {
    /// A folder with exactly the jars of `localstack/kafka/jars.lock`.
    ///
    /// # Errors
    /// If one cannot be fetched, or is not what the lock says.
    pub fn kafka_jars(&self, step: &Step<'_>) -> Result<PathBuf> {
        let folder = self.kafka_jars_folder()?;
        let python = self.python_environment(step, Environment::Kafka)?;
        self.install(step, &folder, &folder.join(BROKER), |tool| {
            step.doing("fetching the broker's jars");
            let network = self.uv(step)?.network();
            tool.run(
                python_command(&python.python())
                    .envs(network)
                    .arg(self.recipes().join("kafka/jars.py"))
                    .arg(&folder),
            )
        })?;
        Ok(folder)
    }

    /// Where the jars are, or will be: one folder per version of the lock.
    ///
    /// # Errors
    /// If the lock cannot be read.
    pub fn kafka_jars_folder(&self) -> Result<PathBuf> {
        let lock = self.recipes().join("kafka/jars.lock");
        let content = fs::read(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        let version = Fingerprint::default().with(content).finish();
        Ok(self.settings.cache.join(format!("kafka-jars-{version}")))
    }
}

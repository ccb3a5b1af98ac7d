//! Kafka: Apache Kafka itself, as a single broker.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cache::{Cache, Environment, Java};
use crate::context::Context;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;
use crate::settings::Settings;

/// Where an earlier version of this program had its broker keep the records.
const RECORDS_OF_EARLIER_BROKER: &str = "kafka.db";

/// An installed broker.
pub struct Broker {
    python: PathBuf,
    script: PathBuf,
    java: Java,
    jars: PathBuf,
}

impl Broker {
    /// Installs what is missing of it: a Java and the jars.
    ///
    /// # Errors
    /// If something cannot be installed.
    pub fn install(settings: &Settings, step: &Step<'_>) -> Result<Self> {
        let cache = Cache::new(settings);
        let jars = cache.kafka_jars(step)?;
        let java = cache.java(step)?;
        let python = cache.python_environment(step, Environment::Kafka)?;
        step.result(format!("Apache Kafka on Java {}", java.version));
        Ok(Self {
            python: python.python(),
            script: settings.repository.join("localstack/kafka/broker.py"),
            java,
            jars,
        })
    }

    /// The command that becomes a broker, but for `--data` and `--listen`.
    #[must_use]
    pub fn command(&self) -> Vec<PathBuf> {
        vec![
            self.python.clone(),
            self.script.clone(),
            "--java".into(),
            self.java.program.clone(),
            "--jars".into(),
            self.jars.clone(),
            "--archives".into(),
            self.jars.join("archives"),
        ]
    }
}

/// Starts the broker.
///
/// # Errors
/// If it does not get ready.
pub fn start(context: &Context, step: &Step<'_>, ports: &Ports, broker: &Broker) -> Result<()> {
    let data = context.settings.directory.join("kafka");
    put_aside_earlier_records(context, step, &data)?;
    files::create_folder(&data)?;
    let address = ports.address_of(Service::Kafka);
    let command = broker.command();
    let (program, arguments) = command.split_first().context("there is no command")?;
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Kafka,
            port: ports.of(Service::Kafka),
            command: ServiceCommand::new(program)
                .args(arguments)
                .args(["--data".as_ref(), data.as_os_str()])
                .args(["--listen", &address])
                .directory(&data)
                .depends_on(recipe(&context.settings)?),
            probe: &|| readiness::speaks_kafka(&address),
            // After a crash it first reads its records again.
            patience: Duration::from_mins(1),
        },
    )?;
    step.result(address.clone());
    Ok(())
}

/// What the broker is started with changes with these files.
fn recipe(settings: &Settings) -> Result<String> {
    let folder = settings.repository.join("localstack/kafka");
    let mut recipe = Fingerprint::default();
    for name in ["broker.py", "server.properties", "log4j2.properties"] {
        let path = folder.join(name);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        recipe = recipe.with(content);
    }
    Ok(recipe.finish())
}

/// Apache Kafka cannot read what the broker of earlier versions has written, so it begins
/// without records. Patients, accounts, counts and notifications are elsewhere, and stay.
fn put_aside_earlier_records(context: &Context, step: &Step<'_>, data: &Path) -> Result<()> {
    if !data.join(RECORDS_OF_EARLIER_BROKER).exists() {
        return Ok(());
    }
    context.supervisor.stop(Service::Kafka)?;
    let aside = data.with_extension("earlier");
    files::remove(&aside)?;
    fs::rename(data, &aside).with_context(|| format!("cannot move {}", data.display()))?;
    step.announce(&format!(
        "the broker is Apache Kafka now, which cannot read the records of the one before: they \
         are put aside in {}. Events that no consumer had handled yet will not be delivered; \
         everything else is unaffected",
        aside.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::Cancellation;
    use crate::processes::Supervisor;
    use crate::progress::Progress;

    fn put_aside(directory: &Path) -> Result<()> {
        let mut settings = Settings::from_environment().unwrap();
        settings.directory = directory.to_path_buf();
        let supervisor = Supervisor::new(&settings, PathBuf::from("unused"));
        let context = Context {
            settings,
            supervisor,
            progress: Progress::new(Cancellation::default()),
        };
        context.progress.step("Kafka", |step| {
            put_aside_earlier_records(&context, step, &directory.join("kafka"))
        })
    }

    #[test]
    fn records_of_an_earlier_broker_are_put_aside_and_not_deleted() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("kafka");
        files::replace(&data.join(RECORDS_OF_EARLIER_BROKER), b"records").unwrap();
        put_aside(directory.path()).unwrap();
        assert!(!data.exists());
        let aside = directory.path().join("kafka.earlier/kafka.db");
        assert_eq!(fs::read(aside).unwrap(), b"records");
    }

    #[test]
    fn records_of_this_broker_stay_where_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let record = directory.path().join("kafka/records/meta.properties");
        files::replace(&record, b"version=1").unwrap();
        put_aside(directory.path()).unwrap();
        assert!(record.exists());
    }
}

//! Kafka: Apache Kafka itself, as a single broker that speaks TLS and wants a password.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cache::{Cache, Environment, Java};
use crate::context::Context;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;
use crate::services::certificates;
use crate::settings::Settings;

/// The name of the file with the password.
const PASSWORD: &str = "kafka-password";

/// The user that it belongs to: broker.py makes it.
const USER: &str = "patient-management";

/// Where the password is, once a broker has been started.
#[must_use]
pub fn password_file(settings: &Settings) -> PathBuf {
    settings.secret(PASSWORD)
}

/// What Secrets Manager has to know, so that functions and pollers can log in to the broker.
///
/// # Errors
/// If the password cannot be read or made.
pub fn credentials(settings: &Settings) -> Result<String> {
    let password = files::secret(&password_file(settings))?;
    Ok(json!({ "username": USER, "password": password }).to_string())
}

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
    files::create_folder(&data)?;
    let address = ports.address_of(Service::Kafka);
    let password = password_file(&context.settings);
    files::secret(&password)?;
    let certificates = certificates::ensure(context, step)?;
    let certificate = fs::read(certificates.join("broker.pem"))
        .with_context(|| format!("there is no broker.pem in {}", certificates.display()))?;
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
                .args(["--password-file".as_ref(), password.as_os_str()])
                .args(["--certificates".as_ref(), certificates.as_os_str()])
                .directory(&data)
                .depends_on(certificate)
                .depends_on(recipe(&context.settings)?),
            probe: &|| readiness::speaks_tls(&address),
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
    for name in [
        "broker.py",
        "certificates.py",
        "server.properties",
        "log4j2.properties",
    ] {
        let path = folder.join(name);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        recipe = recipe.with(content);
    }
    Ok(recipe.finish())
}

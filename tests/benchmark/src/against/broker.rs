//! The Kafka that both deliver to, or one for each. Other than on the stack's own, nobody consumes what is
//! delivered here.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use backon::{ConstantBuilder, Retryable as _};
use contracts::PATIENT_EVENTS_TOPIC;
use kafka::Cluster;
use local_stack::{cancellation::Cancellation, progress::Progress, services, settings::Settings};

use serde_json::Value;

use super::folder;
use crate::{deployed, say};

/// As many as `provision` gives the topic.
const PARTITIONS: i32 = 6;

/// How long one attempt to reach it may take, and how often that is tried: it needs some seconds.
const ATTEMPT: Duration = Duration::from_secs(2);
const PATIENCE_IN_ATTEMPTS: usize = 300;

/// Whom a broker lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// Everybody.
    None,
    /// Whoever speaks TLS and knows the password of the stack's broker.
    TlsAndPassword,
}

/// The brokers of both.
#[derive(Debug)]
pub(super) struct Brokers {
    running: Vec<Broker>,
    of: [Protection; 2],
}

impl Brokers {
    /// Starts one for each kind of protection.
    ///
    /// # Errors
    /// If one does not get ready.
    pub(super) async fn start(of: [Protection; 2]) -> Result<Self> {
        let mut kinds = of.to_vec();
        kinds.dedup();
        let mut running = Vec::new();
        for protection in kinds {
            running.push(Broker::start(protection).await?);
        }
        Ok(Self { running, of })
    }

    /// The settings of this deployed function for both, with these brokers in place of the stack's.
    ///
    /// # Errors
    /// If it has not been deployed.
    pub(super) fn settings(&self, function: &str) -> Result<[BTreeMap<String, String>; 2]> {
        let deployed = deployed::settings(function)?;
        Ok(self.of.map(|protection| {
            let mut running = self.running.iter();
            let broker = running.find(|broker| broker.protection == protection);
            broker.map_or_else(
                || deployed.clone(),
                |broker| with_broker(deployed.clone(), &broker.address, protection),
            )
        }))
    }
}

/// A broker. It is killed when this value is dropped, and its records deleted.
#[derive(Debug)]
struct Broker {
    protection: Protection,
    process: Child,
    address: String,
    data: PathBuf,
}

impl Broker {
    /// Starts a broker and creates the topic.
    ///
    /// # Errors
    /// If it does not get ready.
    async fn start(protection: Protection) -> Result<Self> {
        say(match protection {
            Protection::None => "starting a Kafka without protection",
            Protection::TlsAndPassword => "starting a Kafka with TLS and a password",
        })?;
        let settings = Settings::from_environment()?;
        let progress = Progress::silent(Cancellation::default());
        let command = progress.step("Kafka", |step| {
            Ok(services::kafka::Broker::install(&settings, step)?.command())
        })?;
        let (program, arguments) = command.split_first().context("there is no command")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let data = folder().join(format!("kafka-{port}"));
        fs::create_dir_all(&data)?;
        let said = protection.log();
        let log = File::create(&said)?;
        let process = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .args(["--listen", &address])
            .args(protection.arguments(&settings))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run Kafka")?;
        let broker = Self {
            protection,
            process,
            address,
            data,
        };
        broker
            .create_topic(&settings)
            .await
            .with_context(|| format!("Kafka is not ready: see {}", said.display()))?;
        Ok(broker)
    }

    async fn create_topic(&self, settings: &Settings) -> Result<()> {
        // Until it listens.
        let backoff = ConstantBuilder::new()
            .with_delay(Duration::from_millis(200))
            .with_max_times(PATIENCE_IN_ATTEMPTS);
        let cluster = match self.protection {
            Protection::None => Cluster::unprotected(&self.address),
            Protection::TlsAndPassword => protected(&self.address, settings)?,
        };
        let connect = || cluster.connect("benchmark", ATTEMPT);
        let client = connect.retry(backoff).await?;
        let controller = client.controller_client()?;
        controller
            .create_topic(PATIENT_EVENTS_TOPIC, PARTITIONS, 1, 5_000)
            .await?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.data);
    }
}

impl Protection {
    /// What the broker says.
    fn log(self) -> PathBuf {
        folder().join(match self {
            Self::None => "kafka.log",
            Self::TlsAndPassword => "kafka-with-tls.log",
        })
    }

    /// What a broker has to be told. It shows the certificate of the stack's broker, and has its user.
    fn arguments(self, settings: &Settings) -> Vec<OsString> {
        match self {
            Self::None => Vec::new(),
            Self::TlsAndPassword => vec![
                "--password-file".into(),
                services::kafka::password_file(settings).into(),
                "--certificates".into(),
                services::certificates::folder(settings).into(),
            ],
        }
    }
}

/// The broker of that address, for the user that it knows.
fn protected(address: &str, settings: &Settings) -> Result<Cluster> {
    let credentials: Value = serde_json::from_str(&services::kafka::credentials(settings)?)?;
    let of = |name: &str| credentials[name].as_str().unwrap_or_default();
    let authority = services::certificates::authority(settings)?;
    let (user, password) = (of("username"), of("password"));
    Ok(kafka::testing::cluster(
        address,
        Some(&authority),
        user,
        password,
    )?)
}

fn with_broker(
    mut settings: BTreeMap<String, String>,
    address: &str,
    protection: Protection,
) -> BTreeMap<String, String> {
    // A function that delivers nothing has none of these.
    if settings.contains_key("KAFKA_BOOTSTRAP_SERVERS") {
        settings.insert("KAFKA_BOOTSTRAP_SERVERS".to_owned(), address.to_owned());
        if protection == Protection::None {
            settings.remove("KAFKA_SECRET");
            settings.remove("KAFKA_CA_CERTIFICATE");
            settings.insert("KAFKA_AUTHENTICATION".to_owned(), "NONE".to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn what_delivers_uses_this_broker_and_everything_else_stays() {
        let deployed = settings([
            ("BILLING_URL", "http://billing"),
            ("KAFKA_AUTHENTICATION", "SCRAM"),
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
            ("KAFKA_CA_CERTIFICATE", "PEM"),
            ("KAFKA_SECRET", "arn"),
        ]);
        let expected = settings([
            ("BILLING_URL", "http://billing"),
            ("KAFKA_AUTHENTICATION", "NONE"),
            ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:2"),
        ]);
        assert_eq!(
            with_broker(deployed.clone(), "127.0.0.1:2", Protection::None),
            expected
        );
        let mut moved = deployed.clone();
        moved.insert(
            "KAFKA_BOOTSTRAP_SERVERS".to_owned(),
            "127.0.0.1:2".to_owned(),
        );
        assert_eq!(
            with_broker(deployed, "127.0.0.1:2", Protection::TlsAndPassword),
            moved
        );
        let reads = settings([("DATABASE_AUTHENTICATION", "PASSWORD")]);
        assert_eq!(
            with_broker(reads.clone(), "127.0.0.1:2", Protection::None),
            reads
        );
    }
}

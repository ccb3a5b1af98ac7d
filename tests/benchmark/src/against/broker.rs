//! The Kafka that both commits deliver to. It lets in everybody without TLS: the local stack's own
//! wants a password, which functions have only known since f3a8eb0. And nobody consumes what is
//! delivered here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use contracts::PATIENT_EVENTS_TOPIC;
use local_stack::{
    cancellation::Cancellation, progress::Progress, services::kafka, settings::Settings,
};
use rskafka::{BackoffConfig, client::ClientBuilder};

use super::folder;
use crate::{deployed, say};

/// As many as `provision` gives the topic.
const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_mins(1);

/// A broker. It is killed when this value is dropped, and its records deleted.
#[derive(Debug)]
pub(super) struct Broker {
    process: Child,
    address: String,
    data: PathBuf,
}

impl Broker {
    /// Starts a broker and creates the topic.
    ///
    /// # Errors
    /// If it does not get ready.
    pub(super) async fn start() -> Result<Self> {
        say("starting a Kafka without protection for both")?;
        let settings = Settings::from_environment()?;
        let progress = Progress::silent(Cancellation::default());
        let command = progress.step("Kafka", |step| {
            Ok(kafka::Broker::install(&settings, step)?.command())
        })?;
        let (program, arguments) = command.split_first().context("there is no command")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let address = format!("127.0.0.1:{port}");
        let data = folder().join(format!("kafka-{port}"));
        fs::create_dir_all(&data)?;
        let log = File::create(folder().join("kafka.log"))?;
        let process = Command::new(program)
            .args(arguments)
            .arg("--data")
            .arg(&data)
            .args(["--listen", &address])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run Kafka")?;
        let broker = Self {
            process,
            address,
            data,
        };
        broker
            .create_topic()
            .await
            .with_context(|| format!("Kafka is not ready: see {}/kafka.log", folder().display()))?;
        Ok(broker)
    }

    async fn create_topic(&self) -> Result<()> {
        // Until it listens.
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            base: 2.0,
            deadline: Some(PATIENCE),
        };
        let client = ClientBuilder::new(vec![self.address.clone()])
            .backoff_config(backoff)
            .build()
            .await?;
        let controller = client.controller_client()?;
        controller
            .create_topic(PATIENT_EVENTS_TOPIC, PARTITIONS, 1, 5_000)
            .await?;
        Ok(())
    }

    /// The settings of this deployed function, with this broker in place of the stack's.
    ///
    /// # Errors
    /// If it has not been deployed.
    pub(super) fn settings(&self, function: &str) -> Result<BTreeMap<String, String>> {
        Ok(with_broker(deployed::settings(function)?, &self.address))
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

fn with_broker(mut settings: BTreeMap<String, String>, address: &str) -> BTreeMap<String, String> {
    // A function that delivers nothing has none of these.
    if settings.contains_key("KAFKA_BOOTSTRAP_SERVERS") {
        settings.remove("KAFKA_SECRET");
        settings.remove("KAFKA_CA_CERTIFICATE");
        settings.extend([
            ("KAFKA_BOOTSTRAP_SERVERS".to_owned(), address.to_owned()),
            ("KAFKA_AUTHENTICATION".to_owned(), "NONE".to_owned()),
        ]);
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
        assert_eq!(with_broker(deployed, "127.0.0.1:2"), expected);
        let reads = settings([("DATABASE_AUTHENTICATION", "PASSWORD")]);
        assert_eq!(with_broker(reads.clone(), "127.0.0.1:2"), reads);
    }
}

//! How Kafka is reached: encrypted and with a name, or, on a developer's own machine, without.

mod access;
mod iam;
mod roots;
mod scram;
#[cfg(feature = "testing")]
pub mod testing;

use std::time::Duration;

use rskafka::{
    BackoffConfig,
    client::{Client, ClientBuilder, error::Error},
};
use store::{MissingSetting, setting};

use access::Access;

/// The brokers of a cluster, and how a client identifies itself to them.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<String>,
    access: Access,
}

/// Why the settings do not describe a cluster.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// One is missing.
    #[error(transparent)]
    Missing(#[from] MissingSetting),
    /// The way to authenticate is unknown.
    #[error("KAFKA_AUTHENTICATION is none of NONE, SCRAM and IAM: {0}")]
    UnknownAuthentication(String),
    /// The certificate authority is not one.
    #[error("KAFKA_CA_CERTIFICATE is not a certificate in PEM")]
    InvalidCertificate,
}

/// Why there is no connection to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers, or something other than Kafka.
    #[error("Kafka cannot be reached")]
    Unreachable(#[source] Error),
    /// The user or the password is wrong, or the role may not connect.
    #[error("Kafka does not accept our credentials")]
    Credentials(#[source] Error),
    /// It is not the broker that we want to talk to.
    #[error("the broker's certificate is not from an authority that we trust, or for another host")]
    Certificate(#[source] Error),
    /// The credentials could not be read.
    #[error("Kafka's credentials cannot be read from Secrets Manager: {0}")]
    Secret(String),
    /// It took longer than we wait.
    #[error("Kafka does not respond in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

impl Cluster {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, `host:port` separated by commas, and `KAFKA_AUTHENTICATION`:
    ///
    /// - `IAM`: TLS, and the role of the function, as MSK knows it.
    /// - `SCRAM`: TLS, and SCRAM-SHA-512 with the user and the password in the secret
    ///   `KAFKA_SECRET`.
    /// - `NONE`, which is the default: neither. For brokers on the developer's own machine.
    ///
    /// The authority that issued the brokers' certificates is `KAFKA_CA_CERTIFICATE` (PEM, possibly
    /// with `\n` instead of line ends) or, without it, any that browsers trust.
    ///
    /// # Errors
    /// If one is missing or invalid.
    pub fn from_env() -> Result<Self, SettingError> {
        Ok(Self::new(
            &setting("KAFKA_BOOTSTRAP_SERVERS")?,
            Access::from_env()?,
        ))
    }

    /// Brokers that let everybody in, without encryption.
    #[must_use]
    pub fn unprotected(brokers: &str) -> Self {
        Self::new(brokers, Access::Unprotected)
    }

    fn new(brokers: &str, access: Access) -> Self {
        let brokers = brokers.split(',').map(|broker| broker.trim().to_owned());
        Self {
            brokers: brokers.collect(),
            access,
        }
    }

    /// Connects to one of the brokers, within this time.
    ///
    /// # Errors
    /// Why not: who is down, and who does not let us in, are different problems.
    pub async fn connect(
        &self,
        client_id: &'static str,
        patience: Duration,
    ) -> Result<Client, ConnectError> {
        let attempt = self.attempt(client_id, patience);
        let connected = match tokio::time::timeout(patience, attempt).await {
            Ok(connected) => connected,
            Err(elapsed) => Err(elapsed.into()),
        };
        if matches!(
            connected,
            // Brokers take their time to refuse a login.
            Err(ConnectError::Credentials(_) | ConnectError::TimedOut(_))
        ) {
            // They may have been replaced.
            self.access.forget_credentials().await;
        }
        connected
    }

    async fn attempt(
        &self,
        client_id: &'static str,
        patience: Duration,
    ) -> Result<Client, ConnectError> {
        let brokers = u32::try_from(self.brokers.len()).unwrap_or(u32::MAX).max(1);
        let mut builder = ClientBuilder::new(self.brokers.clone())
            .client_id(client_id)
            // Only pauses count towards the deadline. The attempts between them take time, too, each
            // with all brokers, and the reason for a failure is only known if they end before the
            // patience does.
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(200),
                base: 2.0,
                deadline: Some(patience / 6 / brokers),
            });
        if let Some(tls) = self.access.tls() {
            builder = builder.tls_config(tls);
        }
        if let Some(sasl) = self.access.sasl().await? {
            builder = builder.sasl_config(sasl);
        }
        builder.build().await.map_err(classify)
    }
}

/// What a failure means. The client keeps only the text of what happened in its attempts.
fn classify(error: Error) -> ConnectError {
    let text = error.to_string();
    if text.contains("Sasl handshake failed") {
        ConnectError::Credentials(error)
    } else if text.contains("certificate") {
        ConnectError::Certificate(error)
    } else {
        ConnectError::Unreachable(error)
    }
}

//! The settings of the service, and its limits.

use std::{fmt, time::Duration};

use sqlx::PgPool;
use store::{MissingSetting, PoolError, setting};

use crate::service::{Clinic, InvalidClinic, ServiceToken, WeakToken};

/// Where the service listens by default.
const DEFAULT_LISTEN: &str = "127.0.0.1:9001";

/// The largest number of connections to the database.
const CONNECTIONS: u32 = 10;

/// How long a call waits for a connection before its caller is asked to retry. Shorter than callers
/// are willing to wait, so that they learn the reason.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many calls the service runs at a time, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a call may take, however long its caller is willing to wait.
    pub deadline: Duration,
    /// How many calls run at a time; any further call is rejected.
    pub calls_at_a_time: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            calls_at_a_time: 512,
        }
    }
}

/// A setting is missing or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is missing.
    #[error(transparent)]
    Missing(#[from] MissingSetting),
    /// The database setting is missing or invalid.
    #[error(transparent)]
    Database(#[from] PoolError),
    /// The token is too weak.
    #[error("BILLING_TOKEN is not usable")]
    Token(#[from] WeakToken),
    /// A setting of the clinic cannot be used.
    #[error(transparent)]
    Clinic(#[from] InvalidClinic),
}

/// The settings of the service.
pub struct Settings {
    /// Host and port to listen on.
    pub listen: String,
    /// The database, not connected yet.
    pub database: PgPool,
    /// The token that callers must present.
    pub token: ServiceToken,
    /// How many calls run at a time, and for how long.
    pub limits: Limits,
    /// What has to be known of the clinic.
    pub clinic: Clinic,
}

impl Settings {
    /// Reads `BILLING_LISTEN` (host and port, `127.0.0.1:9001` by default), `BILLING_TOKEN`,
    /// `DATABASE_URL`, and the settings of the clinic ([`Clinic::from_env`]). Call it inside a Tokio
    /// runtime.
    ///
    /// # Errors
    /// If one is missing or cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Ok(Self {
            listen: listen(),
            database: store::pool_for("billing-service", CONNECTIONS, PATIENCE)?,
            token: ServiceToken::new(&setting("BILLING_TOKEN")?)?,
            limits: Limits::default(),
            clinic: Clinic::from_env()?,
        })
    }
}

/// Where the service listens.
pub(super) fn listen() -> String {
    setting("BILLING_LISTEN").unwrap_or_else(|_| DEFAULT_LISTEN.to_owned())
}

/// Reveals neither the token nor how to reach the database.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

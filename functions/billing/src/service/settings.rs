//! What the deployment tells the service, and how much of everything it allows.

use std::{fmt, time::Duration};

use sqlx::PgPool;
use store::{MissingSetting, PoolError, setting};

use crate::service::{ServiceToken, WeakToken};

/// Where the service listens unless it is told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:9001";

/// How many connections to the database the service holds at most.
const CONNECTIONS: u32 = 10;

/// How long a call waits for a connection before its caller is told to come back later.
/// Shorter than the callers' own patience, so that they hear the reason.
const PATIENCE: Duration = Duration::from_secs(1);

/// How much the service does at a time, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a call may take, however patient its caller is.
    pub deadline: Duration,
    /// How many calls run at a time; one more is refused.
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
    /// The database's.
    #[error(transparent)]
    Database(#[from] PoolError),
    /// The token's.
    #[error("BILLING_TOKEN is not usable")]
    Token(#[from] WeakToken),
}

/// What the service needs.
pub struct Settings {
    /// Host and port to listen on.
    pub listen: String,
    /// The database, not connected yet.
    pub database: PgPool,
    /// What callers have to prove that they know.
    pub token: ServiceToken,
    /// How much is done at a time, and for how long.
    pub limits: Limits,
}

impl Settings {
    /// `BILLING_LISTEN` (host and port, `127.0.0.1:9001` by default), `BILLING_TOKEN` and
    /// `DATABASE_URL`. To be called inside a Tokio runtime.
    ///
    /// # Errors
    /// If one is missing or cannot be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        let database = store::connect_options("billing-service")?;
        Ok(Self {
            listen: setting("BILLING_LISTEN").unwrap_or_else(|_| DEFAULT_LISTEN.to_owned()),
            database: store::pool_with(database, CONNECTIONS, PATIENCE),
            token: ServiceToken::new(&setting("BILLING_TOKEN")?)?,
            limits: Limits::default(),
        })
    }
}

/// Shows neither the token nor how the database is reached.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

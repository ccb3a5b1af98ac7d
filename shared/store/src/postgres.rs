//! A pool of connections to PostgreSQL, bounded in number and in patience.

use std::time::Duration;

use sqlx::{
    Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};
use tokio::time::timeout;

use crate::{FromEnvironment, MissingSetting, setting};

/// A function serves one request at a time; the second connection is for work that the
/// request does beside its own transaction.
const CONNECTIONS: u32 = 2;

/// How long a request waits for a connection before it is told to come back later.
const PATIENCE: Duration = Duration::from_secs(3);

/// After this long without use a connection is tried before it is trusted: Lambda may
/// have frozen the process, and the server or a proxy may have closed the connection. A
/// request after a pause pays for it with one round trip; one that follows another at
/// once does not.
pub const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// The setting is missing, or is not the URL of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It is missing.
    #[error(transparent)]
    Missing(#[from] MissingSetting),
    /// It cannot be read. The value holds a password, so it is not repeated.
    #[error("{0} is not the URL of a PostgreSQL database")]
    Invalid(&'static str),
}

/// The pool of the database at `DATABASE_URL`. Nothing is connected yet.
///
/// # Errors
/// If the setting is missing or cannot be read.
pub fn pool(application: &str) -> Result<PgPool, PoolError> {
    Ok(pool_of(connect_options(application)?))
}

impl FromEnvironment for PgPool {
    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(pool(function)?)
    }
}

/// The pool of the database that is reached like this, for a function. Nothing is connected
/// yet.
#[must_use]
pub fn pool_of(options: PgConnectOptions) -> PgPool {
    pool_with(options, CONNECTIONS, PATIENCE)
}

/// A pool of so many connections, for which a request waits so long. Nothing is connected yet.
///
/// How long a statement may take and wait is said by the role that logs in, and not by the
/// connection: poolers such as Amazon RDS Proxy refuse connections with options.
#[must_use]
pub fn pool_with(options: PgConnectOptions, connections: u32, patience: Duration) -> PgPool {
    // What is left of the patience is for a new connection.
    let sign_of_life = patience / 3;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(move |connection, state| {
            Box::pin(async move {
                if sql_state::is_forgotten(state.age) {
                    return Ok(false);
                }
                if state.idle_for <= TRUSTED_FOR {
                    return Ok(true);
                }
                // One whose other end is gone without a word answers never, not with an error.
                let alive = timeout(sign_of_life, connection.ping()).await;
                Ok(matches!(alive, Ok(Ok(()))))
            })
        })
        .after_release(move |connection, state| {
            Box::pin(async move {
                if sql_state::is_forgotten(state.age) {
                    return Ok(false);
                }
                let clean = timeout(sign_of_life, clean_up(connection)).await;
                // As an error: whoever does not answer is not told goodbye.
                clean.map_err(|_| sqlx::Error::PoolTimedOut)?
            })
        })
        .connect_lazy_with(options)
}

/// Leaves nothing on the connection of who used it before. Answers whether anybody may use it
/// again.
///
/// `sqlx` 0.9.0 does not know of a transaction whose BEGIN was given up before its answer
/// came, and hands the connection on with it open: what is done next on it seems to be done,
/// and is lost (<https://github.com/launchbadge/sqlx/issues/4385>). And a server that has become
/// a standby takes no change any more: the next connection may lead to its successor.
async fn clean_up(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // BEGIN says something only where there is a transaction, ROLLBACK only where there is
    // none.
    let read_only = sqlx::raw_sql("BEGIN; SHOW transaction_read_only; ROLLBACK")
        .fetch_one(&mut *connection)
        .await?;
    let read_only: String = read_only.try_get(0)?;
    Ok(read_only == "off")
}

/// How to connect to the database at `DATABASE_URL`, without the pool's time limits.
///
/// # Errors
/// If the setting is missing or cannot be read.
pub fn connect_options(application: &str) -> Result<PgConnectOptions, PoolError> {
    connect_options_of("DATABASE_URL", application)
}

/// How to connect to the database at the URL in this setting, without the pool's time
/// limits.
///
/// # Errors
/// If the setting is missing or cannot be read.
pub fn connect_options_of(
    name: &'static str,
    application: &str,
) -> Result<PgConnectOptions, PoolError> {
    let options: PgConnectOptions = setting(name)?
        .parse()
        .map_err(|_| PoolError::Invalid(name))?;
    Ok(options.application_name(application))
}

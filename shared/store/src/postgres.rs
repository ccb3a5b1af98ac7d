//! A pool of connections to PostgreSQL, bounded in number and in patience.

use std::time::Duration;

use sqlx::{
    Connection as _,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions},
};

use crate::{MissingSetting, setting};

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

/// The pool of the database that is reached like this. Nothing is connected yet.
///
/// How long a statement may take and wait is said by the role that logs in, and not by the
/// connection: poolers such as Amazon RDS Proxy refuse connections with options.
#[must_use]
pub fn pool_of(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection, state| {
            Box::pin(async move {
                if state.idle_for > TRUSTED_FOR {
                    return Ok(connection.ping().await.is_ok());
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
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

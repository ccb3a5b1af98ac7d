//! A pool of connections to PostgreSQL, limited in size and in waiting time.

mod rds;
mod tokens;

use std::{future::ready, time::Duration};

use sqlx::{
    Connection as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode},
};
use tokio::time::timeout;

use self::tokens::Signer;
use crate::{FromEnvironment, MissingSetting, no_delay::set_no_delay, setting};

pub use tokens::{
    TokenError, WithTokens, renew_tokens, service_fn, verified, with_token, with_tokens,
};

/// A function serves one request at a time, on one connection; the second one is for work that is left
/// over from an earlier request, or is done besides a transaction.
pub(crate) const CONNECTIONS: u32 = 2;

/// How long a request waits for a connection before the client is asked to retry.
const PATIENCE: Duration = Duration::from_secs(3);

/// A connection that has been idle for longer is tested before it is used: Lambda may have frozen
/// the process, and the server or a proxy may have closed the connection. The test costs the first
/// request after a pause one round trip; requests in quick succession do not pay for it.
pub const TRUSTED_FOR: Duration = Duration::from_millis(100);

/// The setting is missing, or is not the URL of a PostgreSQL database.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It is missing.
    #[error(transparent)]
    Missing(#[from] MissingSetting),
    /// It cannot be parsed. It contains a password, so it is not repeated.
    #[error("{0} is not the URL of a PostgreSQL database")]
    Invalid(&'static str),
    /// The roots of its databases are unknown.
    #[error("the certificates of Amazon RDS in {0} are not known")]
    UnknownRegion(String),
    /// The way to log in is unknown.
    #[error("DATABASE_AUTHENTICATION is neither PASSWORD nor IAM: {0}")]
    UnknownAuthentication(String),
    /// Whoever answers would get a token.
    #[error(
        "to log in with IAM, the server has to be verified: sslmode=verify-full, or sslrootcert=rds"
    )]
    Unverified,
}

/// How services log in to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// With the password in their URL.
    Password,
    /// With the role that AWS knows them by, as Amazon RDS does.
    Iam,
}

impl Authentication {
    /// Reads `DATABASE_AUTHENTICATION`, which is `PASSWORD` by default, or `IAM`.
    ///
    /// # Errors
    /// If it is something else.
    pub fn from_env() -> Result<Self, PoolError> {
        match setting("DATABASE_AUTHENTICATION").as_deref() {
            Err(_) | Ok("PASSWORD") => Ok(Self::Password),
            Ok("IAM") => Ok(Self::Iam),
            Ok(unknown) => Err(PoolError::UnknownAuthentication(unknown.to_owned())),
        }
    }
}

/// The pool of the database at `DATABASE_URL`. Nothing is connected yet.
///
/// # Errors
/// If a setting is missing or cannot be used.
pub fn pool(application: &str) -> Result<PgPool, PoolError> {
    pool_for(application, CONNECTIONS, PATIENCE)
}

/// As [`pool`], of at most this many connections, for which a request waits at most this long.
///
/// # Errors
/// If a setting is missing or cannot be used.
pub fn pool_for(
    application: &str,
    connections: u32,
    patience: Duration,
) -> Result<PgPool, PoolError> {
    let options = connect_options(application)?;
    match Authentication::from_env()? {
        Authentication::Password => Ok(pool_with(options, connections, patience)),
        Authentication::Iam => {
            let signer = Signer::new(options.clone(), || setting("AWS_REGION"))?;
            let pool = pool_with(options, connections, patience);
            tokens::keep(&pool, signer);
            Ok(pool)
        }
    }
}

impl FromEnvironment for PgPool {
    fn from_environment(
        function: &'static str,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(pool(function)?)
    }
}

/// A pool for a function, with these connection options. Nothing is connected yet.
#[must_use]
pub fn pool_of(options: PgConnectOptions) -> PgPool {
    pool_with(options, CONNECTIONS, PATIENCE)
}

/// A pool of at most this many connections, for which a request waits at most this long. Nothing is
/// connected yet.
///
/// The limits on statements and lock waits are settings of the database role, not of the
/// connection: poolers such as Amazon RDS Proxy reject connections with options.
#[must_use]
pub fn pool_with(options: PgConnectOptions, connections: u32, patience: Duration) -> PgPool {
    // The rest of the waiting time is for opening a new connection.
    let sign_of_life = patience / 3;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .after_connect(|_, _| {
            set_no_delay();
            Box::pin(ready(Ok(())))
        })
        .before_acquire(move |connection, state| {
            Box::pin(async move {
                if sql_state::is_forgotten(state.age) {
                    return Ok(false);
                }
                if state.idle_for <= TRUSTED_FOR {
                    return Ok(true);
                }
                // A connection whose peer has vanished never responds, not even with an error.
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
                // As an error, so that the pool drops the connection without waiting for a graceful
                // close.
                clean.map_err(|_| sqlx::Error::PoolTimedOut)?
            })
        })
        .connect_lazy_with(options)
}

/// Removes what the previous user left on the connection. Returns whether it may be used again.
///
/// `sqlx` 0.9.0 does not notice a transaction whose BEGIN was abandoned before the reply, and
/// returns the connection with the transaction open: whatever is done on it next seems to succeed,
/// and is lost (<https://github.com/launchbadge/sqlx/issues/4385>). A server that has become a
/// standby accepts no more changes; a new connection may lead to its successor.
async fn clean_up(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    // BEGIN only complains inside a transaction, ROLLBACK only outside one.
    let read_only = sqlx::raw_sql("BEGIN; SHOW transaction_read_only; ROLLBACK")
        .fetch_one(&mut *connection)
        .await?;
    let read_only: String = read_only.try_get(0)?;
    Ok(read_only == "off")
}

/// How to connect to the database at `DATABASE_URL`, without a token and the pool's time limits.
///
/// # Errors
/// If the setting is missing or cannot be parsed.
pub fn connect_options(application: &str) -> Result<PgConnectOptions, PoolError> {
    connect_options_of("DATABASE_URL", application)
}

/// How to connect to the database at the URL in this setting, without the pool's time
/// limits.
///
/// # Errors
/// If the setting is missing or cannot be parsed.
pub fn connect_options_of(
    name: &'static str,
    application: &str,
) -> Result<PgConnectOptions, PoolError> {
    let url = setting(name)?;
    let options = connect_options_to(&url).map_err(|error| match error {
        PoolError::Invalid(_) => PoolError::Invalid(name),
        other => other,
    })?;
    Ok(options.application_name(application))
}

/// How to connect to the database at this URL. With `sslrootcert=rds`, the server has to prove that it is
/// the database of Amazon RDS with this name, in the region `AWS_REGION`.
///
/// # Errors
/// If it cannot be parsed, or the region is not known.
pub fn connect_options_to(url: &str) -> Result<PgConnectOptions, PoolError> {
    verifying(url, || setting("AWS_REGION"))
}

fn verifying(
    url: &str,
    region: impl FnOnce() -> Result<String, MissingSetting>,
) -> Result<PgConnectOptions, PoolError> {
    let options: PgConnectOptions = url.parse().map_err(|_| PoolError::Invalid("this"))?;
    if !rds::is_trusted_by(url) {
        return Ok(options);
    }
    let region = region()?;
    let roots = rds::roots(&region).ok_or(PoolError::UnknownRegion(region))?;
    Ok(options
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(roots.into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use std::net::Ipv4Addr;

    use sqlx::ConnectOptions as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn options(url: &str, region: &str) -> Result<PgConnectOptions, PoolError> {
        verifying(url, || Ok(region.to_owned()))
    }

    #[test]
    fn whoever_asks_for_the_roots_of_rds_gets_verification_whatever_else_they_say() {
        for mode in [
            "",
            "sslmode=prefer&",
            "sslmode=require&",
            "sslmode=verify-full&",
        ] {
            let url = format!("postgres://me@db.example/x?{mode}sslrootcert=rds");
            let options = options(&url, "eu-central-1").unwrap();
            assert!(
                matches!(options.get_ssl_mode(), PgSslMode::VerifyFull),
                "{mode}"
            );
        }
        let plain = options("postgres://me@db.example/x", "eu-central-1").unwrap();
        assert!(matches!(plain.get_ssl_mode(), PgSslMode::Prefer));
    }

    #[test]
    fn a_region_without_known_roots_is_an_error() {
        let url = "postgres://me:secret@db.example/x?sslrootcert=rds";
        let error = options(url, "mars-north-1").unwrap_err();
        assert!(matches!(&error, PoolError::UnknownRegion(region) if region == "mars-north-1"));
        assert!(!error.to_string().contains("secret"));
    }

    /// Says whether it speaks TLS (`S`) or not (`N`), and then something that is not TLS.
    async fn server(answer: u8) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut request = [0_u8; 8];
            client.read_exact(&mut request).await.unwrap();
            client.write_all(&[answer]).await.unwrap();
            let _ = client.read(&mut request).await;
            let _ = client.write_all(b"R\0\0\0\x08\0\0\0\0").await;
        });
        format!("postgres://me:secret@{address}/x?sslrootcert=rds")
    }

    #[tokio::test]
    async fn no_password_is_sent_to_a_server_without_tls() {
        for answer in *b"NS" {
            let options = options(&server(answer).await, "eu-central-1").unwrap();
            let error = options.connect().await.unwrap_err();
            assert!(
                matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Io(_)),
                "{error:?}"
            );
        }
    }
}

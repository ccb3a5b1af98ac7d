//! Logging in to Amazon RDS with a role of AWS instead of a password. In place of the password stands
//! a token: a signed URL, made without asking anybody. RDS looks at it when a connection is opened,
//! and again never.
//!
//! A pool opens connections when it likes, with the options that it has at that moment, so that these
//! have to hold a fresh token at every moment. Two things see to that: each call of a function,
//! before it begins, because Lambda may have frozen the process for hours ([`service_fn`]), and a
//! task, once a minute, for what takes longer.

use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPool, PgSslMode};
use tower::{Service, util::ServiceFn};

use super::PoolError;
use crate::{MissingSetting, Presigned, aws_config, setting};

/// How old a token gets before the next one is made. It is valid for three times as long.
const RENEWED_AFTER: Duration = Duration::from_mins(5);

/// How often the task looks whether it is time.
const LOOKS_EVERY: Duration = Duration::from_mins(1);

type Failure = Box<dyn Error + Send + Sync>;

/// There is no token to log in with.
#[derive(Debug, thiserror::Error)]
#[error("the token for the database cannot be made")]
pub struct TokenError(#[source] Failure);

/// Whether these options lead to a server only if it has proved who it is.
///
/// # Errors
/// If not: whoever answers in its place would get a token, or the owner's password.
pub fn verified(options: &PgConnectOptions) -> Result<(), PoolError> {
    if matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        Ok(())
    } else {
        Err(PoolError::Unverified)
    }
}

/// A role of the database, and where that is.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    options: PgConnectOptions,
    region: String,
}

impl Signer {
    /// # Errors
    /// If the region is missing, or if the server would not have to prove who it is: whoever gets a
    /// token can log in with it.
    pub(super) fn new(
        options: PgConnectOptions,
        region: impl FnOnce() -> Result<String, MissingSetting>,
    ) -> Result<Self, PoolError> {
        verified(&options)?;
        let region = region()?;
        Ok(Self { options, region })
    }

    /// The options with a token of this moment.
    fn options(
        &self,
        credentials: Credentials,
        now: SystemTime,
    ) -> Result<PgConnectOptions, Failure> {
        let token = Presigned {
            service: "rds-db",
            region: &self.region,
            host: &format!("{}:{}", self.options.get_host(), self.options.get_port()),
            query: &[
                ("Action", "connect"),
                ("DBUser", self.options.get_username()),
            ],
        };
        let token = token.url(credentials, now)?;
        Ok(self.options.clone().password(&token))
    }
}

/// A pool whose options hold a token, and when that was made.
struct Kept {
    pool: PgPool,
    signer: Signer,
    made: Mutex<Option<SystemTime>>,
}

impl Kept {
    fn new(pool: PgPool, signer: Signer) -> Self {
        Self {
            pool,
            signer,
            made: Mutex::new(None),
        }
    }

    /// Whether a new token is due. Also after the clock was set back: it would not be valid yet.
    fn is_due(&self, now: SystemTime) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let age = made.map(|made| now.duration_since(made));
        !matches!(age, Some(Ok(age)) if age < RENEWED_AFTER)
    }

    fn renew(&self, credentials: Credentials, now: SystemTime) -> Result<(), Failure> {
        let options = self.signer.options(credentials, now)?;
        self.pool.set_connect_options(options);
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }
}

/// The pools of this process. A function has one.
static KEPT: Mutex<Vec<Arc<Kept>>> = Mutex::new(Vec::new());

/// From now on, the pool's options hold a token.
pub(super) fn keep(pool: &PgPool, signer: Signer) {
    let kept = Arc::new(Kept::new(pool.clone(), signer));
    KEPT.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(kept);
    tokio::spawn(async {
        loop {
            renew_tokens().await;
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    });
}

fn due(now: SystemTime) -> Vec<Arc<Kept>> {
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let due = kept.iter().filter(|kept| kept.is_due(now));
    due.cloned().collect()
}

/// Gives the pools of this process new tokens, if it is time. Why that was not possible is in the
/// log: connections are refused until it is.
pub async fn renew_tokens() {
    let due = due(SystemTime::now());
    if due.is_empty() {
        return;
    }
    let credentials = credentials().await;
    renew(&due, credentials, SystemTime::now());
}

fn renew(due: &[Arc<Kept>], credentials: Result<Credentials, Failure>, now: SystemTime) {
    let renewed = credentials.and_then(|credentials| {
        due.iter()
            .try_for_each(|kept| kept.renew(credentials.clone(), now))
    });
    if let Err(error) = renewed {
        tracing::error!(error, "the token for the database cannot be made");
    }
}

/// These options with a token of this moment, for one connection.
///
/// # Errors
/// If the server would not have to prove who it is, or there are no credentials of AWS.
pub async fn with_token(options: PgConnectOptions) -> Result<PgConnectOptions, TokenError> {
    let signer =
        Signer::new(options, || setting("AWS_REGION")).map_err(|error| TokenError(error.into()))?;
    let credentials = credentials().await.map_err(TokenError)?;
    signer
        .options(credentials, SystemTime::now())
        .map_err(TokenError)
}

/// Those of a function stand in its environment; whoever else asks the machine that it runs on. The
/// future of that is so deeply nested that callers would not compile with it.
fn credentials() -> BoxFuture<'static, Result<Credentials, Failure>> {
    Box::pin(async {
        if let Some(credentials) = credentials_of_a_function() {
            return Ok(credentials);
        }
        let provider = aws_config().await.credentials_provider();
        let provider = provider.ok_or("this runs without a role of AWS")?;
        Ok(provider.provide_credentials().await?)
    })
}

fn credentials_of_a_function() -> Option<Credentials> {
    Some(Credentials::new(
        setting("AWS_ACCESS_KEY_ID").ok()?,
        setting("AWS_SECRET_ACCESS_KEY").ok()?,
        setting("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    ))
}

/// A function, and fresh tokens before each of its calls. That awaits nothing, and nothing is done
/// where no pool needs a token.
#[derive(Debug, Clone)]
pub struct WithTokens<S>(S);

/// The function with fresh tokens before each of its calls.
pub const fn with_tokens<S>(function: S) -> WithTokens<S> {
    WithTokens(function)
}

/// A function of Lambda, with fresh tokens before each of its calls.
pub fn service_fn<F>(function: F) -> WithTokens<ServiceFn<F>> {
    with_tokens(tower::service_fn(function))
}

impl<S: Service<R>, R> Service<R> for WithTokens<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        let now = SystemTime::now();
        let due = due(now);
        if !due.is_empty()
            && let Some(credentials) = credentials_of_a_function()
        {
            renew(&due, Ok(credentials), now);
        }
        self.0.call(request)
    }
}

#[cfg(test)]
mod tests;

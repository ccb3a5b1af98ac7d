//! The API, with login and retries.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use system_tests::NewPatient;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::journal::Outcome;

/// The timeout of one call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long before its expiry a token is renewed.
const MARGIN: Duration = Duration::from_secs(30);

/// How often a call is tried that gets no response, or one that asks to retry.
const ATTEMPTS: usize = 6;

/// The user to log in as.
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

/// Why a patient was neither registered nor rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the API cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API is unavailable right now (status {0})")]
    Unavailable(StatusCode),
    #[error("the API rejects the login (status {0})")]
    LogIn(StatusCode),
    #[error(
        "the user's role may not register patients, or not without welcoming them \
         (--welcome)"
    )]
    NotAllowed,
    #[error("the API gave an unexpected response (status {0})")]
    Unknown(StatusCode),
}

impl ApiError {
    const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Unavailable(_))
    }
}

/// The API, with a logged-in user.
pub(crate) struct Api {
    http: Client,
    url: String,
    credentials: Credentials,
    welcome: bool,
    token: Mutex<Token>,
}

#[derive(Clone)]
struct Token {
    text: SecretString,
    good_until: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Welcome {
    token: SecretString,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Created {
    id: Uuid,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    errors: BTreeMap<String, String>,
}

impl Api {
    /// Logs in. `welcome` is whether patients get a welcome message.
    ///
    /// # Errors
    /// If that fails.
    pub(crate) async fn log_in(
        url: &str,
        credentials: Credentials,
        welcome: bool,
    ) -> anyhow::Result<Self> {
        let url = url.trim_end_matches('/').to_owned();
        let http = system_tests::http_client().timeout(TIMEOUT).build()?;
        let token = log_in(&http, &url, &credentials).await?;
        Ok(Self {
            http,
            url,
            credentials,
            welcome,
            token: Mutex::new(token),
        })
    }

    /// The URL of the API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Registers a patient. A patient whose first response was lost counts as already existing.
    ///
    /// # Errors
    /// If the outcome is unknown.
    pub(crate) async fn create(&self, patient: &NewPatient) -> Result<Outcome, ApiError> {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(ATTEMPTS - 1);
        (|| self.attempt(patient))
            .retry(pauses)
            .when(ApiError::may_pass)
            .await
    }

    async fn attempt(&self, patient: &NewPatient) -> Result<Outcome, ApiError> {
        let token = self.token.lock().await.clone();
        let token = if token.good_until > Instant::now() {
            token
        } else {
            self.renew(&token).await?
        };
        let mut response = self.post(patient, &token).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let token = self.renew(&token).await?;
            response = self.post(patient, &token).await?;
        }
        settle(response).await
    }

    async fn post(&self, patient: &NewPatient, token: &Token) -> Result<Response, ApiError> {
        self.http
            .post(format!(
                "{}/api/patients?welcome={}",
                self.url, self.welcome
            ))
            .bearer_auth(token.text.expose_secret())
            .json(patient)
            .send()
            .await
            .map_err(ApiError::Unreachable)
    }

    /// Replaces this token. Of several callers, one logs in, and the others use its token.
    async fn renew(&self, old: &Token) -> Result<Token, ApiError> {
        let mut current = self.token.lock().await;
        if current.text.expose_secret() == old.text.expose_secret() {
            *current = log_in(&self.http, &self.url, &self.credentials).await?;
        }
        Ok(current.clone())
    }
}

async fn log_in(http: &Client, url: &str, credentials: &Credentials) -> Result<Token, ApiError> {
    let Credentials { email, password } = credentials;
    let response = http
        .post(format!("{url}/auth/login"))
        .json(&json!({ "email": email, "password": password.expose_secret() }))
        .send()
        .await
        .map_err(ApiError::Unreachable)?;
    match response.status() {
        StatusCode::OK => {
            let welcome: Welcome = response.json().await.map_err(ApiError::Unreachable)?;
            let lifetime = Duration::from_secs(welcome.expires_in).saturating_sub(MARGIN);
            Ok(Token {
                text: welcome.token,
                good_until: Instant::now() + lifetime,
            })
        }
        status if asks_to_come_back(status) => Err(ApiError::Unavailable(status)),
        status => Err(ApiError::LogIn(status)),
    }
}

async fn settle(response: Response) -> Result<Outcome, ApiError> {
    match response.status() {
        StatusCode::CREATED => {
            let created: Created = response.json().await.map_err(ApiError::Unreachable)?;
            Ok(Outcome::Created {
                patient_id: created.id,
            })
        }
        StatusCode::CONFLICT => Ok(Outcome::AlreadyThere),
        StatusCode::FORBIDDEN => Err(ApiError::NotAllowed),
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
            let problem: Problem = response.json().await.map_err(ApiError::Unreachable)?;
            Ok(Outcome::Refused {
                reason: reason(problem),
            })
        }
        status if asks_to_come_back(status) => Err(ApiError::Unavailable(status)),
        status => Err(ApiError::Unknown(status)),
    }
}

fn asks_to_come_back(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn reason(problem: Problem) -> String {
    let errors = problem.errors.into_iter();
    let errors: Vec<_> = errors
        .map(|(field, error)| format!("{field}: {error}"))
        .collect();
    if errors.is_empty() {
        problem.detail
    } else {
        errors.join("; ")
    }
}

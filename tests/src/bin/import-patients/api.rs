//! The API, with login and retries.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::journal::Outcome;

/// The timeout of one call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The timeout of an upload.
const UPLOAD: Duration = Duration::from_mins(10);

/// How long before its expiry a token is renewed.
const MARGIN: Duration = Duration::from_secs(30);

/// How often a call is tried that gets no response, or one that asks to retry.
const ATTEMPTS: usize = 6;

/// The user to log in as.
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: SecretString,
}

/// Why it is not known what became of the patients.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("the API cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API is unavailable right now (status {0})")]
    Unavailable(StatusCode),
    #[error("the API rejects the login (status {0})")]
    LogIn(StatusCode),
    #[error("the user's role may not import patients")]
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

/// An import that the API has begun.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// Its id.
    pub(crate) id: Uuid,
    upload_url: String,
    upload_headers: BTreeMap<String, String>,
}

/// How far an import is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// Its state.
    pub(crate) state: State,
    /// How many lines have an outcome.
    pub(crate) processed: u64,
    /// Why the whole file is refused.
    pub(crate) refusal: Option<String>,
    outcomes_url: Option<String>,
}

/// The state of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    AwaitingUpload,
    Running,
    Completed,
    Refused,
    Expired,
}

/// What became of a line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// Which line of the file that was uploaded, from 1.
    pub(crate) line: usize,
    outcome: Became,
    patient_id: Option<Uuid>,
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Became {
    Created,
    Duplicate,
    Refused,
}

impl Answer {
    /// The outcome of its row.
    pub(crate) fn outcome(self) -> Outcome {
        match (self.outcome, self.patient_id) {
            (Became::Created, Some(patient_id)) => Outcome::Created { patient_id },
            (Became::Created | Became::Duplicate, patient_id) => {
                Outcome::AlreadyThere { patient_id }
            }
            (Became::Refused, _) => Outcome::Refused {
                reason: self.reason.unwrap_or_default(),
            },
        }
    }
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

    /// Begins an import of a file with this many bytes.
    ///
    /// # Errors
    /// If the API does not begin it.
    pub(crate) async fn start(&self, length: usize) -> Result<Started, ApiError> {
        let input = json!({ "format": "NDJSON", "contentLength": length, "welcome": self.welcome });
        let url = format!("{}/api/patients/imports", self.url);
        let response = self.call(|| self.http.post(&url).json(&input)).await?;
        match response.status() {
            StatusCode::ACCEPTED => response.json().await.map_err(ApiError::Unreachable),
            StatusCode::FORBIDDEN => Err(ApiError::NotAllowed),
            status => Err(ApiError::Unknown(status)),
        }
    }

    /// Uploads the file.
    ///
    /// # Errors
    /// If the bucket does not take it.
    pub(crate) async fn upload(&self, import: &Started, file: Vec<u8>) -> Result<(), ApiError> {
        let attempt = || async {
            let mut request = self.http.put(&import.upload_url).timeout(UPLOAD);
            for (name, value) in &import.upload_headers {
                request = request.header(name, value);
            }
            let response = request.body(file.clone()).send().await;
            let status = response.map_err(ApiError::Unreachable)?.status();
            match status {
                status if status.is_success() => Ok(()),
                status if asks_to_come_back(status) => Err(ApiError::Unavailable(status)),
                status => Err(ApiError::Unknown(status)),
            }
        };
        attempt.retry(pauses()).when(ApiError::may_pass).await
    }

    /// How far an import is; `None` if the API knows of none.
    ///
    /// # Errors
    /// If the API does not say.
    pub(crate) async fn standing(&self, import: Uuid) -> Result<Option<Standing>, ApiError> {
        let url = format!("{}/api/patients/imports/{import}", self.url);
        let response = self.call(|| self.http.get(&url)).await?;
        match response.status() {
            StatusCode::OK => Ok(Some(response.json().await.map_err(ApiError::Unreachable)?)),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(ApiError::Unknown(status)),
        }
    }

    /// What became of each line of a completed import.
    ///
    /// # Errors
    /// If the bucket does not say.
    pub(crate) async fn outcomes(&self, standing: &Standing) -> Result<Vec<Answer>, ApiError> {
        let url = standing.outcomes_url.as_deref().unwrap_or_default();
        let attempt = || async {
            let response = self
                .http
                .get(url)
                .send()
                .await
                .map_err(ApiError::Unreachable)?;
            let status = response.status();
            if !status.is_success() {
                return Err(ApiError::Unavailable(status));
            }
            response.text().await.map_err(ApiError::Unreachable)
        };
        let text = attempt.retry(pauses()).when(ApiError::may_pass).await?;
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .map_err(|_| ApiError::Unknown(StatusCode::OK))
    }

    /// Calls the API as the user, again and again if it asks to come back.
    async fn call(&self, request: impl Fn() -> RequestBuilder) -> Result<Response, ApiError> {
        (|| self.attempt(&request))
            .retry(pauses())
            .when(ApiError::may_pass)
            .await
    }

    async fn attempt(&self, request: &impl Fn() -> RequestBuilder) -> Result<Response, ApiError> {
        let token = self.token.lock().await.clone();
        let token = if token.good_until > Instant::now() {
            token
        } else {
            self.renew(&token).await?
        };
        let send = async |token: &Token| {
            let request = request().bearer_auth(token.text.expose_secret());
            request.send().await.map_err(ApiError::Unreachable)
        };
        let mut response = send(&token).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let token = self.renew(&token).await?;
            response = send(&token).await?;
        }
        let status = response.status();
        if asks_to_come_back(status) {
            return Err(ApiError::Unavailable(status));
        }
        Ok(response)
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

fn asks_to_come_back(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(ATTEMPTS - 1)
}

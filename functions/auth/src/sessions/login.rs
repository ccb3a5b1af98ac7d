//! `POST /auth/login`: begins a session, given an e-mail address and a password.
//!
//! Whether the address is unknown, the password wrong or the account disabled, the response is the
//! same, and so is the time it takes, because every attempt verifies the password against some
//! hash, and is counted (see [`attempts`](crate::passwords::attempts)).

use std::sync::Arc;

use api::{
    Input, InputErrors, Problem, ProblemDocument, ProblemType, State,
    layers::{Open, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use chrono::Utc;
use fields::EmailAddress;
use identity::Role;
use route::Route;
use secrecy::SecretString;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{Access, AccessResponse};
use crate::passwords::{
    HashingFailed, Password, PasswordHash,
    attempts::{Attempts, Source},
};

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/auth/login")
    .function("login")
    .records(Action::LogIn);

/// Serves the route.
pub fn routes(database: PgPool, access: Access, attempts: Attempts) -> Router {
    ROUTE.served_by(
        login,
        Arc::new(Login {
            database: database.clone(),
            access,
            attempts,
        }),
        database,
    )
}

pub(crate) struct Login {
    database: PgPool,
    access: Access,
    attempts: Attempts,
}

/// The user's credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "zoe@clinic.example", "password": "correct horse battery" }))]
pub struct LoginRequest {
    /// E-mail address, in upper or lower case.
    #[serde(default)]
    #[schema(required = true, format = Email, max_length = 254)]
    email: String,
    /// Password, at most 128 characters.
    #[serde(default)]
    #[schema(required = true, value_type = String, format = Password, min_length = 1, max_length = 128)]
    password: SecretString,
}

/// Log in
///
/// Begins a session. Returns an access token, which is valid for 15 minutes, and a refresh token,
/// which can be used for one `POST /auth/refresh` as long as the session lasts: 30 minutes without
/// a refresh, and 12 hours in any case, unless the deployment is configured otherwise.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    request_body = LoginRequest,
    responses(
        (status = 200, description = "The user is logged in", body = AccessResponse),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "The e-mail address or the password is wrong, or the account is disabled", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts have failed: try again after the time in Retry-After", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Try again in a moment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn login(
    State(login): State<Arc<Login>>,
    trail: Trail,
    source: Source,
    Input(request): Input<LoginRequest>,
) -> Result<Json<AccessResponse>, Problem> {
    let (email, password) = request.parse()?;
    let started = Utc::now();

    // Concurrently, to speed up the first login after a cold start.
    let (attempt, account, tokens) = tokio::join!(
        Box::pin(login.attempts.begin(&email, &source)),
        find_account(&login.database, &email),
        login.access.tokens(),
    );
    if let Ok(Some(account)) = &account {
        trail.found(account.id, Some(account.role));
    }
    let attempt = attempt?;
    let admitted = async {
        let Some(account) = authenticate(account?, password.clone()).await? else {
            return Ok(None);
        };
        Ok::<_, Problem>(Some((account, tokens?)))
    };
    let (account, tokens) = match admitted.await {
        Ok(Some(admitted)) => admitted,
        // The attempt counts as failed.
        Ok(None) => return Err(refused()),
        Err(problem) => {
            attempt.take_back().await;
            return Err(problem);
        }
    };

    let (running, ()) = tokio::join!(
        Box::pin(login.access.begin(account.id, started)),
        attempt.succeeded(),
    );
    let running = running?;
    trail
        .succeeded(&login.database, Subject::Account(account.id))
        .await?;
    if account.password_hash.is_outdated() {
        hash_anew(&login.database, &account, password).await;
    }
    tracing::info!(userId = %account.id, sessionId = %running.session, "logged in");
    AccessResponse::new(&tokens, account.id, account.role, &running).map(Json)
}

impl LoginRequest {
    fn parse(self) -> Result<(EmailAddress, Password), Problem> {
        let mut errors = InputErrors::default();
        let email = errors.field("email", EmailAddress::parse_known(&self.email));
        let password = errors.field("password", Password::parse(&self.password));
        match (email, password) {
            (Some(email), Some(password)) => Ok((email, password)),
            _ => Err(errors.into_problem()),
        }
    }
}

struct Account {
    id: Uuid,
    password_hash: PasswordHash,
    role: Role,
    disabled: bool,
}

async fn find_account(database: &PgPool, email: &EmailAddress) -> Result<Option<Account>, Problem> {
    let found = sqlx::query!(
        "SELECT id, password_hash, role, disabled FROM auth.user_account WHERE email = $1",
        email.as_str()
    )
    .fetch_optional(database)
    .await?;
    let account = found.map(|row| {
        Ok(Account {
            id: row.id,
            // A user who has not chosen a password yet cannot match any.
            password_hash: row
                .password_hash
                .map_or_else(PasswordHash::of_nobody, PasswordHash::from_stored),
            role: row.role.parse().map_err(Problem::internal)?,
            disabled: row.disabled,
        })
    });
    account.transpose()
}

/// Returns the account if it exists and is not disabled, and the password matches.
async fn authenticate(
    account: Option<Account>,
    password: Password,
) -> Result<Option<Account>, Problem> {
    let hash = account
        .as_ref()
        .map_or_else(PasswordHash::of_nobody, |account| {
            account.password_hash.clone()
        });
    let matches = hash.matches(password).await?;

    let user = account.as_ref().map(|account| account.id);
    let reason = match account {
        None => "no such account",
        Some(_) if !matches => "wrong password",
        Some(account) if account.disabled => "account disabled",
        Some(account) => return Ok(Some(account)),
    };
    tracing::info!(userId = ?user, reason, "rejected a login");
    Ok(None)
}

fn refused() -> Problem {
    Problem::new(
        ProblemType::Unauthorized,
        "The e-mail address or the password is wrong",
    )
}

/// Hashes the password with today's parameters, unless it was changed meanwhile. The login does not
/// depend on it: the next one tries again.
async fn hash_anew(database: &PgPool, account: &Account, password: Password) {
    let hashed = async {
        let hash = PasswordHash::of(password).await?;
        sqlx::query!(
            "UPDATE auth.user_account SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
            account.id,
            account.password_hash.as_str(),
            hash.as_str(),
        )
        .execute(database)
        .await?;
        Ok::<_, Problem>(())
    };
    if hashed.await.is_err() {
        tracing::warn!(userId = %account.id, "a password could not be rehashed");
    }
}

impl From<HashingFailed> for Problem {
    fn from(error: HashingFailed) -> Self {
        Self::internal(error)
    }
}

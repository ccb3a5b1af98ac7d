//! `POST /auth/set-password`: sets a password with a one-time token: the first one, or a new one
//! instead of a forgotten one.

use std::sync::Arc;

use api::{
    Input, InputErrors, Problem, ProblemDocument, State,
    layers::{Open, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::Router;
use fields::EmailAddress;
use http::StatusCode;
use route::Route;
use secrecy::SecretString;
use serde::Deserialize;
use sessions::{OpaqueToken, Sessions};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use super::{
    attempts::{Attempts, Source},
    password::{Password, PasswordHash},
};

/// Valid for setting one password, for a short time.
pub(crate) type OneTimeToken = OpaqueToken<0>;

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/auth/set-password")
    .function("set-password")
    .records(Action::SetPassword);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions, attempts: Attempts) -> Router {
    ROUTE.served_by(
        set_password,
        Arc::new(Parts {
            database: database.clone(),
            sessions,
            attempts,
        }),
        database,
    )
}

pub(crate) struct Parts {
    database: PgPool,
    sessions: Sessions,
    attempts: Attempts,
}

/// The name of the token's field.
const TOKEN: &str = "token";

/// The token from the message, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "token": "Zk8q9m4n6r2s8t0u1w3x5y7f2X0lQ1rTg-3mS0kXwJ8",
    "password": "staple the horse again"
}))]
pub(crate) struct NewPassword {
    /// The one-time token.
    #[serde(default)]
    #[schema(required = true, value_type = String, format = Password, max_length = 43)]
    token: SecretString,
    /// 12 to 128 characters; neither a common password nor similar to the e-mail address.
    #[serde(default)]
    #[schema(required = true, value_type = String, format = Password, min_length = 12, max_length = 128)]
    password: SecretString,
}

/// Set a password
///
/// Uses up the token and ends all the account's sessions. Log in with the new password afterwards.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    request_body = NewPassword,
    responses(
        (status = 204, description = "The password is set"),
        (status = 400, description = "The token is not valid (any more), or the password is not acceptable; in the latter case, the token remains valid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set_password(
    State(parts): State<Arc<Parts>>,
    trail: Trail,
    source: Source,
    Input(input): Input<NewPassword>,
) -> Result<StatusCode, Problem> {
    let done = replace_password(&parts, &trail, &input).await;
    if let Err(problem) = &done
        && problem.concerns(TOKEN)
    {
        trail.refused(&parts.database, problem).await?;
    }
    // So that somebody guessing from elsewhere does not keep the user from logging in now.
    parts.attempts.know(&done?, &source).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the address of the account.
async fn replace_password(
    parts: &Parts,
    trail: &Trail,
    input: &NewPassword,
) -> Result<EmailAddress, Problem> {
    let Parts {
        database, sessions, ..
    } = parts;
    let token = OneTimeToken::parse(&input.token).ok_or_else(no_such_token)?;
    let hash = token.hash();
    let account = sqlx::query!(
        "SELECT id, email, role
         FROM auth.one_time_token
         JOIN auth.user_account ON user_account.id = one_time_token.user_id
         WHERE hash = $1 AND expires_at > now() AND NOT disabled",
        hash,
    )
    .fetch_optional(database)
    .await?
    .ok_or_else(no_such_token)?;
    trail.found(
        account.id,
        Some(account.role.parse().map_err(Problem::internal)?),
    );
    let mut errors = InputErrors::default();
    let chosen = Password::choose(&input.password, &account.email);
    let Some(password) = errors.field("password", chosen) else {
        return Err(errors.into_problem());
    };
    let email = EmailAddress::parse_known(&account.email).map_err(Problem::internal)?;
    let password = PasswordHash::of(password).await?;

    let mut transaction = Transaction::begin(database).await?;
    // Of two concurrent requests, only one finds the token.
    let used = sqlx::query!(
        "DELETE FROM auth.one_time_token WHERE hash = $1 AND expires_at > now()",
        hash,
    )
    .execute(&mut transaction)
    .await?;
    let set = sqlx::query!(
        "UPDATE auth.user_account SET password_hash = $2, updated_at = GREATEST(updated_at, clock_timestamp())
         WHERE id = $1 AND NOT disabled",
        account.id,
        password.as_str(),
    )
    .execute(&mut transaction)
    .await?;
    if used.rows_affected() == 0 || set.rows_affected() == 0 {
        return Err(no_such_token());
    }
    sqlx::query!(
        "DELETE FROM auth.one_time_token WHERE user_id = $1",
        account.id
    )
    .execute(&mut transaction)
    .await?;
    // Twice, as in `update_account`: no change without it, and nobody slips in between.
    sessions.end_all(account.id).await?;
    trail
        .succeeded(&mut transaction, Subject::Account(account.id))
        .await?;
    transaction.commit().await?;
    sessions.end_all(account.id).await?;

    tracing::info!(userId = %account.id, "set a password with a one-time token");
    Ok(email)
}

fn no_such_token() -> Problem {
    Problem::invalid_field(TOKEN, "The token is invalid or no longer valid")
}

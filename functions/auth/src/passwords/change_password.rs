//! `POST /auth/change-password`: replaces the caller's password, given the old one.

use std::sync::Arc;

use api::{
    Input, InputErrors, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::Router;
use fields::EmailAddress;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use secrecy::SecretString;
use serde::Deserialize;
use sessions::Sessions;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use super::{
    attempts::{Attempts, Source},
    password::{Password, PasswordHash},
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/auth/change-password")
    .function("change-password")
    .requires(Permission::ChangeOwnPassword)
    .records(Action::ChangePassword);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions, attempts: Attempts) -> Router {
    ROUTE.served_by(
        change_password,
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

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "oldPassword": "correct horse battery", "newPassword": "staple the horse again" }))]
pub(crate) struct PasswordChange {
    /// The current password.
    #[serde(default)]
    #[schema(required = true, value_type = String, format = Password, min_length = 1, max_length = 128)]
    old_password: SecretString,
    /// 12 to 128 characters; neither a common password nor similar to the e-mail address.
    #[serde(default)]
    #[schema(required = true, value_type = String, format = Password, min_length = 12, max_length = 128)]
    new_password: SecretString,
}

/// Change your password
///
/// Ends all your other sessions.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "The password is changed"),
        (status = 400, description = "The old password is wrong, or the new one is not acceptable", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts have failed: try again after the time in Retry-After", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The account was changed at the same time", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change_password(
    caller: Caller,
    State(parts): State<Arc<Parts>>,
    trail: Trail,
    source: Source,
    Input(input): Input<PasswordChange>,
) -> Result<StatusCode, Problem> {
    let session = caller.session()?;
    trail.found(caller.user, Some(caller.role));
    let Parts {
        database,
        sessions,
        attempts,
    } = &*parts;

    let account = sqlx::query!(
        r#"SELECT email, password_hash AS "password_hash!"
           FROM auth.user_account
           WHERE id = $1 AND NOT disabled AND password_hash IS NOT NULL"#,
        caller.user,
    )
    .fetch_optional(database)
    .await?
    .ok_or_else(Problem::unauthorized)?;

    let mut errors = InputErrors::default();
    let old = errors.field("oldPassword", Password::parse(&input.old_password));
    let chosen = Password::choose(&input.new_password, &account.email);
    let new = errors.field("newPassword", chosen);
    let (Some(old), Some(new)) = (old, new) else {
        return Err(errors.into_problem());
    };
    if old == new {
        let message = "The new password is the old one";
        return Err(Problem::invalid_field("newPassword", message));
    }
    // A stolen access token must not allow unlimited guesses at the password.
    let email = EmailAddress::parse_known(&account.email).map_err(Problem::internal)?;
    let attempt = Box::pin(attempts.begin(&email, &source)).await?;
    let hash = PasswordHash::from_stored(account.password_hash.clone());
    let matches = match hash.matches(old).await {
        Ok(matches) => matches,
        Err(error) => {
            attempt.take_back().await;
            return Err(error.into());
        }
    };
    if !matches {
        tracing::info!(userId = %caller.user, "rejected a change of password: the old one is wrong");
        let problem = Problem::invalid_field("oldPassword", "The old password is wrong");
        trail.refused(database, &problem).await?;
        return Err(problem);
    }
    Box::pin(attempt.succeeded()).await;
    let hash = PasswordHash::of(new).await?;

    let mut transaction = Transaction::begin(database).await?;
    let changed = sqlx::query!(
        "UPDATE auth.user_account SET password_hash = $3, updated_at = GREATEST(updated_at, clock_timestamp())
         WHERE id = $1 AND password_hash = $2 AND NOT disabled",
        caller.user,
        account.password_hash,
        hash.as_str(),
    )
    .execute(&mut transaction)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(Problem::new(
            api::ProblemType::Conflict,
            "The account was changed at the same time",
        ));
    }
    sqlx::query!(
        "DELETE FROM auth.one_time_token WHERE user_id = $1",
        caller.user
    )
    .execute(&mut transaction)
    .await?;
    // Twice, as in `update_account`: no change without it, and nobody slips in between. The gateway
    // may accept a token for a moment after its session has ended: such a session is not revived
    // here.
    if let Err(reason) = sessions.end_others(caller.user, session).await? {
        tracing::info!(userId = %caller.user, %reason, "rejected a change of password");
        return Err(Problem::unauthorized());
    }
    trail
        .succeeded(&mut transaction, Subject::Account(caller.user))
        .await?;
    transaction.commit().await?;
    if sessions.end_others(caller.user, session).await?.is_err() {
        sessions.end_all(caller.user).await?;
    }

    tracing::info!(userId = %caller.user, "changed a password");
    Ok(StatusCode::NO_CONTENT)
}

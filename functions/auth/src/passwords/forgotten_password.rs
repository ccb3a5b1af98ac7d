//! `POST /auth/forgotten-password`: has a one-time token sent to whoever has an account.
//!
//! Nobody learns here who that is: the address is only noted down, whosever it is, and
//! looked up when the message is to be sent (`send_account_messages`). So the answer is
//! the same, and so is the time that it takes.

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
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::attempts::{Attempts, Source};

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/auth/forgotten-password")
    .function("forgotten-password")
    .records(Action::RequestPassword);

/// Serves the route.
pub fn routes(database: PgPool, attempts: Attempts) -> Router {
    ROUTE.served_by(
        forgotten_password,
        (database.clone(), Arc::new(attempts)),
        database,
    )
}

/// Who has forgotten their password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "zoe@clinic.example" }))]
pub(crate) struct ForgottenPassword {
    /// E-mail address of the account.
    #[serde(default)]
    #[schema(required = true, format = Email, max_length = 254)]
    email: String,
}

/// Ask for a new password
///
/// If there is an account of this address, a message with a one-time token is sent there within a
/// minute or two. It is good for 30 minutes, for one `POST /auth/set-password`.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    request_body = ForgottenPassword,
    responses(
        (status = 202, description = "If there is such an account, a message follows"),
        (status = 400, description = "The e-mail address is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, for this account or from there: try again after the time in Retry-After", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn forgotten_password(
    State((database, attempts)): State<(PgPool, Arc<Attempts>)>,
    trail: Trail,
    source: Source,
    Input(input): Input<ForgottenPassword>,
) -> Result<StatusCode, Problem> {
    let mut errors = InputErrors::default();
    let Some(email) = errors.field("email", EmailAddress::parse_known(&input.email)) else {
        return Err(errors.into_problem());
    };

    attempts.message(&email, &source).await?;
    let mut transaction = Transaction::begin(&database).await?;
    sqlx::query!(
        "INSERT INTO auth.account_message (id, email, kind) VALUES ($1, $2, 'FORGOTTEN_PASSWORD')
         ON CONFLICT ON CONSTRAINT account_message_once DO NOTHING",
        Uuid::now_v7(),
        email.as_str(),
    )
    .execute(&mut transaction)
    .await?;
    // Without the account, or the answer to an address that has none would be quicker.
    trail.succeeded(&mut transaction, Subject::Nobody).await?;
    transaction.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

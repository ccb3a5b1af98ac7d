//! `POST /auth/forgotten-password`: requests a one-time token by e-mail.
//!
//! The route does not reveal who has an account: it only stores the address, whoever's it is, and
//! `send_account_messages` looks it up when the message is due. So the response is always the same,
//! and so is the time it takes.

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

/// Whose password was forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "email": "zoe@clinic.example" }))]
pub(crate) struct ForgottenPassword {
    /// The account's e-mail address.
    #[serde(default)]
    #[schema(required = true, format = Email, max_length = 254)]
    email: String,
}

/// Ask for a new password
///
/// If there is an account with this address, a message with a one-time token is sent to it within a
/// minute or two. The token is valid for 30 minutes, for one `POST /auth/set-password`.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    request_body = ForgottenPassword,
    responses(
        (status = 202, description = "If there is such an account, a message follows"),
        (status = 400, description = "The e-mail address is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests, for this account or from this address: try again after the time in Retry-After", body = ProblemDocument, content_type = "application/problem+json"),
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
    // Not about the account: looking it up would make the response to known addresses slower.
    trail.succeeded(&mut transaction, Subject::Nobody).await?;
    transaction.commit().await?;
    Ok(StatusCode::ACCEPTED)
}

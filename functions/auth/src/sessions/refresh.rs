//! `POST /auth/refresh`: exchanges a refresh token for a new access token and a new refresh token.
//!
//! The account is read again: the session of a disabled account ends, and a new role appears in the
//! new token.

use std::sync::Arc;

use api::{
    Input, Problem, ProblemDocument, State,
    layers::{Open, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::Role;
use route::Route;
use secrecy::SecretString;
use serde::Deserialize;
use sessions::NoSession;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{Access, AccessResponse};

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::post("/auth/refresh")
    .function("refresh")
    .records(Action::RefreshSession);

/// Serves the route.
pub fn routes(database: PgPool, access: Access) -> Router {
    ROUTE.served_by(refresh, (database.clone(), Arc::new(access)), database)
}

/// The session to refresh.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "refreshToken": "f2X0lQ1rTg-3mS0kXwJ8q0m5o1v9bq0m7c1yqv3b0Zk8q9m4n6r2s8t0u1w3x5y7" }))]
pub struct RefreshRequest {
    /// The refresh token returned by the last login or refresh.
    #[schema(value_type = String, format = Password, max_length = 64)]
    refresh_token: SecretString,
}

/// Refresh a session
///
/// Returns a new access token and a new refresh token; the old refresh token is used up. Using it
/// again ends the session, because somebody else may have a copy: log in again then. Refreshes with
/// the same token within 10 seconds all succeed, and return the same new refresh token.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth", operation_id = "refreshSession",
    request_body = RefreshRequest,
    responses(
        (status = 200, description = "The session is refreshed", body = AccessResponse),
        (status = 400, description = "The body is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "The session has ended: log in again", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Try again in a moment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn refresh(
    State((database, access)): State<(PgPool, Arc<Access>)>,
    trail: Trail,
    Input(request): Input<RefreshRequest>,
) -> Result<Json<AccessResponse>, Problem> {
    let (presented, tokens) = tokio::join!(
        access.sessions().find(&request.refresh_token),
        access.tokens()
    );
    let presented = presented?.map_err(|reason| refused(None, reason))?;
    let (user, session) = (presented.user, presented.session);
    let tokens = tokens?;

    let role = role_of(&database, user).await?;
    trail.found(user, role);
    let Some(role) = role else {
        access.sessions().end(session).await?;
        return Err(refused(Some(session), NoSession::AllRevoked));
    };
    let mut transaction = Transaction::begin(&database).await?;
    trail
        .succeeded(&mut transaction, Subject::Account(user))
        .await?;
    let running = access
        .rotate(&presented)
        .await?
        .map_err(|reason| refused(Some(session), reason))?;
    if let Err(error) = transaction.commit().await {
        // The client gets an error and retries with the same token.
        access.sessions().keep(&presented).await?;
        return Err(error.into());
    }
    tracing::info!(userId = %user, sessionId = %session, "refreshed a session");
    AccessResponse::new(&tokens, user, role, &running).map(Json)
}

/// The role of the user, if the account exists and is not disabled.
async fn role_of(database: &PgPool, user: Uuid) -> Result<Option<Role>, Problem> {
    let role = sqlx::query_scalar!(
        "SELECT role FROM auth.user_account WHERE id = $1 AND NOT disabled",
        user
    )
    .fetch_optional(database)
    .await?;
    role.map(|role| role.parse().map_err(Problem::internal))
        .transpose()
}

fn refused(session: Option<Uuid>, reason: NoSession) -> Problem {
    if reason == NoSession::Reused {
        tracing::warn!(sessionId = ?session, "a used refresh token came back: ended its session");
    }
    reason.into()
}

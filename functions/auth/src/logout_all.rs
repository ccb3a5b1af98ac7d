//! `POST /auth/logout-all`: ends every session of the caller, wherever it was begun.

use std::sync::Arc;

use api::Problem;
use audit_trail::{Action, Subject, Trail, layer};
use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use identity::{Caller, Permission};
use sqlx::PgPool;

use sessions::Sessions;

/// The route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    let routes = Router::new()
        .route("/auth/logout-all", post(logout_all))
        .with_state((database.clone(), Arc::new(sessions)));
    layer(database, Action::LogOut, routes)
}

/// Log out everywhere
///
/// Ends all sessions of the caller, this one too: their refresh tokens at once, their access tokens
/// within 30 seconds.
#[utoipa::path(
    post, path = "/auth/logout-all", tag = "auth", operation_id = "logoutAll",
    responses((status = 204, description = "Goodbye")),
    security(("bearer" = []))
)]
pub(crate) async fn logout_all(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::EndOwnSessions)?;

    sessions.end_all(caller.user).await?;
    // Afterwards: a database that is down keeps no session open.
    trail
        .succeeded(&database, Subject::Account(caller.user))
        .await?;
    tracing::info!(userId = %caller.user, "logged out of all sessions");
    Ok(StatusCode::NO_CONTENT)
}

//! `POST /auth/logout`: ends the session of the access token.

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
        .route("/auth/logout", post(logout))
        .with_state((database.clone(), Arc::new(sessions)));
    layer(database, Action::LogOut, routes)
}

/// Log out
///
/// Ends this session: its refresh token at once, its access tokens within 30 seconds.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth", operation_id = "logout",
    responses((status = 204, description = "Goodbye")),
    security(("bearer" = []))
)]
pub(crate) async fn logout(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::EndOwnSessions)?;
    let session = caller.session()?;

    sessions.end(session).await?;
    // Afterwards: a database that is down keeps no session open.
    trail
        .succeeded(&database, Subject::Account(caller.user))
        .await?;
    tracing::info!(userId = %caller.user, sessionId = %session, "logged out");
    Ok(StatusCode::NO_CONTENT)
}

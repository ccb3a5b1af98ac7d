//! `POST /auth/logout`: ends the session of the access token.

use std::sync::Arc;

use api::Problem;
use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use identity::{Caller, Permission};

use crate::sessions::Sessions;

/// The route.
pub fn routes(sessions: Sessions) -> Router {
    Router::new()
        .route("/auth/logout", post(logout))
        .with_state(Arc::new(sessions))
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
    State(sessions): State<Arc<Sessions>>,
) -> Result<StatusCode, Problem> {
    caller.must(Permission::EndOwnSessions)?;
    let session = caller.session()?;

    sessions.end(session).await?;
    tracing::info!(userId = %caller.user, sessionId = %session, "logged out");
    Ok(StatusCode::NO_CONTENT)
}

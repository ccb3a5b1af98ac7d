//! `POST /auth/logout`: ends the session of the access token.

use std::sync::Arc;

use api::Problem;
use api::{
    State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use sessions::Sessions;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/auth/logout")
    .function("logout")
    .requires(Permission::EndOwnSessions)
    .records(Action::LogOut);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    ROUTE.served_by(logout, (database.clone(), Arc::new(sessions)), database)
}

/// Log out
///
/// Ends this session: its refresh token immediately, its access tokens within 30 seconds.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    responses((status = 204, description = "The session has ended"))
)]
pub(crate) async fn logout(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    let session = caller.session()?;

    sessions.end(session).await?;
    // Only now: a failing database must not keep a session open.
    trail
        .succeeded(&database, Subject::Account(caller.user))
        .await?;
    tracing::info!(userId = %caller.user, sessionId = %session, "logged out");
    Ok(StatusCode::NO_CONTENT)
}

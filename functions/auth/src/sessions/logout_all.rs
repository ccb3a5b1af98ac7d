//! `POST /auth/logout-all`: ends every session of the caller, on every device.

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
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/auth/logout-all")
    .function("logout-all")
    .requires(Permission::EndOwnSessions)
    .records(Action::LogOut);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    ROUTE.served_by(logout_all, (database.clone(), Arc::new(sessions)), database)
}

/// Log out everywhere
///
/// Ends all sessions of the caller, including this one: their refresh tokens immediately, their
/// access tokens within 30 seconds.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "auth",
    responses((status = 204, description = "All sessions have ended"))
)]
pub(crate) async fn logout_all(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    sessions.end_all(caller.user).await?;
    // Only now: a failing database must not keep a session open.
    trail
        .succeeded(&database, Subject::Account(caller.user))
        .await?;
    tracing::info!(userId = %caller.user, "logged out of all sessions");
    Ok(StatusCode::NO_CONTENT)
}

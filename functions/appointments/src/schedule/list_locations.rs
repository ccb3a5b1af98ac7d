//! `GET /api/locations`: where patients are seen.

use api::{
    Problem, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::location::Location;

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/locations")
    .function("list-locations")
    .requires(Permission::ReadSchedules)
    .refusals_are(Action::ReadSchedule);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_locations, database)
}

/// All locations.
#[derive(Serialize, ToSchema)]
pub(crate) struct LocationList {
    locations: Vec<Location>,
}

/// List the locations
///
/// All of them: a clinic has few.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    responses((status = 200, description = "All locations, by name", body = LocationList))
)]
pub(crate) async fn list_locations(
    State(database): State<PgPool>,
) -> Result<Json<LocationList>, Problem> {
    let locations = sqlx::query_as!(
        Location,
        "SELECT id, version, name, time_zone, created_at FROM appointments.location
         ORDER BY name, id",
    )
    .fetch_all(&database)
    .await?;
    Ok(Json(LocationList { locations }))
}

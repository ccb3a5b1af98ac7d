//! `GET /api/services`: what appointments can be for.

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

use super::{resource::ResourceKind, service::Service};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/services")
    .function("list-services")
    .requires(Permission::ReadSchedules)
    .refusals_are(Action::ReadSchedule);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_services, database)
}

/// All services.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServiceList {
    services: Vec<Service>,
}

/// List the services
///
/// All of them, with what determines their slots.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    responses((status = 200, description = "All services, by code", body = ServiceList))
)]
pub(crate) async fn list_services(
    State(database): State<PgPool>,
) -> Result<Json<ServiceList>, Problem> {
    let services = sqlx::query_as!(
        Service,
        r#"SELECT id, version, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
                  notice_minutes, horizon_days, capacity,
                  resource_kinds AS "resource_kinds: Vec<ResourceKind>", reminder_minutes, created_at
           FROM appointments.service ORDER BY code"#,
    )
    .fetch_all(&database)
    .await?;
    Ok(Json(ServiceList { services }))
}

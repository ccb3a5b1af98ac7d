//! `GET /api/resources`: clinicians, rooms and devices, and their weekly hours.

use api::{
    Id, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::NaiveDate;
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, postgres::types::PgRange};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    resource::{Resource, ResourceKind},
    windows::{WeeklyWindow, Windows},
};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/resources")
    .function("list-resources")
    .requires(Permission::ReadSchedules)
    .refusals_are(Action::ReadSchedule);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_resources, database)
}

/// Which resources.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only those at this location.
    #[param(value_type = Option<Uuid>)]
    location_id: Option<Id>,
    /// Only those of this kind.
    #[param(inline)]
    kind: Option<ResourceKind>,
}

/// Resources, with their hours.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResourceList {
    resources: Vec<Scheduled>,
}

/// A resource, with its hours.
#[derive(Serialize, ToSchema)]
pub(crate) struct Scheduled {
    #[serde(flatten)]
    resource: Resource,
    /// The weekly hours, by the date from which they are valid.
    hours: Vec<Hours>,
}

/// Weekly hours from a date on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Hours {
    /// The first date.
    valid_from: NaiveDate,
    /// The hours of each week.
    weekly: Vec<WeeklyWindow>,
}

/// List the resources
///
/// With their weekly hours, from which their free slots follow.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    params(Filter),
    responses(
        (status = 200, description = "The resources, by name", body = ResourceList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_resources(
    State(database): State<PgPool>,
    QueryInput(filter): QueryInput<Filter>,
) -> Result<Json<ResourceList>, Problem> {
    let resources = sqlx::query_as!(
        Resource,
        r#"SELECT id, version, kind AS "kind: ResourceKind", name, location_id, created_at
           FROM appointments.resource
           WHERE ($1::uuid IS NULL OR location_id = $1) AND ($2::text IS NULL OR kind = $2)
           ORDER BY name, id"#,
        filter.location_id.map(|Id(id)| id),
        filter.kind.map(ResourceKind::name),
    )
    .fetch_all(&database)
    .await?;
    let ids: Vec<Uuid> = resources.iter().map(|resource| resource.id).collect();
    let hours = sqlx::query!(
        r#"SELECT resource_id, valid_from, windows AS "windows: Vec<PgRange<i32>>"
           FROM appointments.hours WHERE resource_id = ANY($1) ORDER BY valid_from"#,
        &ids,
    )
    .fetch_all(&database)
    .await?;
    let resources = resources.into_iter().map(|resource| Scheduled {
        hours: hours
            .iter()
            .filter(|row| row.resource_id == resource.id)
            .map(|row| Hours {
                valid_from: row.valid_from,
                weekly: Windows::stored(&row.windows).written_by_weekday(),
            })
            .collect(),
        resource,
    });
    Ok(Json(ResourceList {
        resources: resources.collect(),
    }))
}

//! `GET /api/resources/{id}/absences`: when somebody or something is absent, from now on.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::{About, Action, ResourceType};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::Permission;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::resource::not_found;

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> =
    Route::get("/api/resources/{id}/absences")
        .function("list-absences")
        .requires(Permission::RecordAbsences)
        .refusals_are(Action::ReadSchedule)
        .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_absences, database)
}

/// Absences that are not over.
#[derive(Serialize, ToSchema)]
pub(crate) struct AbsenceList {
    /// In the order of time, 200 at most.
    absences: Vec<RecordedAbsence>,
}

/// An absence.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedAbsence {
    /// Identifies the absence.
    id: Uuid,
    resource_id: Uuid,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    reason: String,
}

/// List the absences of a resource
///
/// Those that are not over.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    params(("id" = Uuid, Path, description = "The resource's id")),
    responses(
        (status = 200, description = "The absences, in the order of time", body = AbsenceList),
        (status = 404, description = "There is no such resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_absences(
    State(database): State<PgPool>,
    PathId(id): PathId,
) -> Result<Json<AbsenceList>, Problem> {
    sqlx::query_scalar!("SELECT id FROM appointments.resource WHERE id = $1", id)
        .fetch_optional(&database)
        .await?
        .ok_or_else(not_found)?;
    let absences = sqlx::query_as!(
        RecordedAbsence,
        r#"SELECT id, resource_id, starts_at AS "from", ends_at AS "to", reason
           FROM appointments.absence
           WHERE resource_id = $1 AND ends_at > now()
           ORDER BY starts_at, id
           LIMIT 200"#,
        id,
    )
    .fetch_all(&database)
    .await?;
    Ok(Json(AbsenceList { absences }))
}

//! `GET /api/appointments/{id}/history`: what became of an appointment, version by version.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    appointment::{self, not_found},
    status::Status,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/appointments/{id}/history")
        .function("get-appointment-history")
        .requires(Permission::ReadAppointments)
        .records(Action::ReadAppointments)
        .about(About::ResourceInPath(ResourceType::Appointment));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_appointment_history, database.clone(), database)
}

/// What became of an appointment.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    /// Every version, in order.
    history: Vec<Entry>,
}

/// A version of an appointment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "AppointmentVersion", as = AppointmentVersion, example = json!({
    "version": 2,
    "change": "RESCHEDULED",
    "status": "BOOKED",
    "start": "2027-03-30T12:00:00Z",
    "end": "2027-03-30T12:30:00Z",
    "resourceIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ae"],
    "actorId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1af",
    "reason": null,
    "at": "2027-01-12T10:02:11.123456Z"
}))]
pub(crate) struct Entry {
    /// The version.
    version: i64,
    /// What was done.
    change: String,
    /// The state since.
    status: Status,
    /// When it was to start, in UTC.
    start: DateTime<Utc>,
    /// When it was to end, in UTC.
    end: DateTime<Utc>,
    /// What it was to take up.
    resource_ids: Vec<Uuid>,
    /// The user who did it; null if it was the patient, or the clock.
    #[schema(required)]
    actor_id: Option<Uuid>,
    /// Why, if somebody had to say so.
    #[schema(required)]
    reason: Option<String>,
    /// When it was done.
    at: DateTime<Utc>,
}

/// Get the history of an appointment
///
/// Each change is a version: what was done, when, by whom, and why, if somebody had to say so.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "appointments",
    params(("id" = Uuid, Path, description = "The appointment's id")),
    responses(
        (status = 200, description = "Every version, in order", body = History),
        (status = 403, description = "The role may not see appointments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_appointment_history(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<Json<History>, Problem> {
    let stored = appointment::find(&database, id)
        .await?
        .ok_or_else(not_found)?;
    trail.about(Subject::Patient(stored.patient_id));
    must_see(caller, stored.patient_id, &database).await?;
    let history = sqlx::query_as!(
        Entry,
        r#"SELECT version, change, status AS "status: Status", starts_at AS start, ends_at AS "end",
                  resource_ids, actor AS actor_id, reason, at
           FROM appointments.history WHERE appointment_id = $1 ORDER BY version"#,
        id,
    )
    .fetch_all(&database)
    .await?;

    let subject = Subject::ResourceOfPatient(Resource::appointment(id), stored.patient_id);
    trail.succeeded(&database, subject).await?;
    Ok(Json(History { history }))
}

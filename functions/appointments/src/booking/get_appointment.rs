//! `GET /api/appointments/{id}`: one appointment.

use api::{
    EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use sqlx::PgPool;

use super::appointment::{self, Appointment, not_found};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/appointments/{id}")
    .function("get-appointment")
    .requires(Permission::ReadAppointments)
    .records(Action::ReadAppointments)
    .about(About::ResourceInPath(ResourceType::Appointment));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_appointment, database.clone(), database)
}

/// Get an appointment
///
/// As it is now. Every read of an appointment is recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id")),
    responses(
        (status = 200, description = "The appointment", body = Appointment,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see appointments, or not this patient's: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_appointment(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Appointment>), Problem> {
    let stored = appointment::find(&database, id)
        .await?
        .ok_or_else(not_found)?;
    trail.about(Subject::Patient(stored.patient_id));
    must_see(caller, stored.patient_id, &database).await?;

    let subject = Subject::ResourceOfPatient(Resource::appointment(id), stored.patient_id);
    trail.succeeded(&database, subject).await?;
    let appointment = Appointment::from(stored);
    Ok((appointment.entity_tag(), Json(appointment)))
}

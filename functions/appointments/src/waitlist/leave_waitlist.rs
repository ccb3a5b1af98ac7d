//! `DELETE /api/waitlist/{id}`: takes a patient off the waitlist.

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Subject, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use sqlx::PgPool;
use store::Transaction;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::delete("/api/waitlist/{id}")
    .function("leave-waitlist")
    .requires(Permission::ManageAppointments)
    .records(Action::ChangeWaitlist)
    .about(About::ResourceInPath(ResourceType::WaitlistEntry));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(leave_waitlist, database.clone(), database)
}

/// Leave the waitlist
///
/// The patient does not wait any more, or somebody has put them on the list by mistake.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The entry's id")),
    responses(
        (status = 204, description = "The patient is not on the list any more"),
        (status = 403, description = "The role may not keep the waitlist, or not for this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such entry", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn leave_waitlist(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<StatusCode, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    let patient = sqlx::query_scalar!(
        "DELETE FROM appointments.waitlist_entry WHERE id = $1 AND appointment_id IS NULL
         RETURNING patient_id",
        id,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(|| Problem::not_found("Waitlist entry not found"))?;
    trail.about(Subject::Patient(patient));
    must_see(caller, patient, &mut transaction).await?;
    let resource = Resource {
        kind: ResourceType::WaitlistEntry,
        id,
    };
    let subject = Subject::ResourceOfPatient(resource, patient);
    trail.succeeded(&mut transaction, subject).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `DELETE /api/patients/{id}`: deletes a patient and has their billing account closed.

use api::{
    IfMatch, PathId, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Router, response::Response};
use events::Change;
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use crate::{
    outbox::{self, Delivery},
    patient::{Patient, not_found},
    schema::SCHEMA,
    stored_answer::begin,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::delete("/api/patients/{id}")
    .function("delete-patient")
    .requires(Permission::DeletePatient)
    .records(Action::DeletePatient)
    .about(About::PatientInPath)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(delete_patient, (database.clone(), delivery), database)
}

/// Delete a patient
///
/// Removes their data. Their billing account is closed, but can still be read. The audit trail of
/// their record is kept.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        IfMatch,
        IdempotencyKey,
    ),
    responses(
        (status = 204, description = "The patient is gone"),
        (status = 400, description = "The id or a header is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not delete patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_patient(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
) -> Result<Response, Interrupted> {
    let mut transaction = begin(work, caller, &database, &trail, Some(id)).await?;
    // The deletion is the last version, and happens now. Along with it, a trigger in the schema
    // writes a message to the outbox that closes the billing account.
    let patient = sqlx::query_as!(
        Patient,
        r#"DELETE FROM patients.patient
         WHERE id = $1
         RETURNING id, version + 1 AS "version!", name, email, address, date_of_birth,
                   registered_date, restricted, created_at, now() AS "updated_at!""#,
        id,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(not_found)?;
    must_see_if(caller, patient.restricted)?;
    if_match.check(patient.version - 1)?;
    outbox::announce(&mut transaction, &patient, Change::Deleted).await?;
    trail
        .succeeded(&mut *transaction, Subject::Patient(id))
        .await?;
    let answer = transaction.commit(id, StatusCode::NO_CONTENT).await?;

    delivery.deliver_now(&database, id).await;
    Ok(answer)
}

//! `DELETE /api/patients/{id}`: deletes a patient and has their billing account closed.

use api::{
    IfMatch, PathId, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Router, response::Response};
use chrono::{SubsecRound as _, Utc};
use events::Change;
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use crate::{
    history::VersionKind,
    outbox::{self, DeliveryFirst},
    schema::SCHEMA,
    storage,
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
pub fn routes(database: PgPool, delivery: DeliveryFirst) -> Router {
    ROUTE.served_by(delete_patient, (database.clone(), delivery), database)
}

/// Delete a patient
///
/// Nobody finds them any more, their appointments are cancelled, and their billing account is
/// closed, but can still be read. Their record and its history are kept, so that they can be
/// restored: see `restore`. Their record number is never given again.
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
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The record was merged into another one, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn delete_patient(
    caller: Caller,
    State((database, delivery)): State<(PgPool, DeliveryFirst)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
) -> Result<Response, Interrupted> {
    let mut transaction = begin(work, caller, &trail, Some(id)).await?;
    let patient = storage::lock(id, &mut transaction).await?;
    if let Some(patient) = &patient {
        must_see_if(caller, patient.restricted)?;
    }
    let mut patient = storage::changeable(patient)?;
    if_match.check(patient.version)?;
    // The deletion is a version. Along with it, a trigger in the schema writes a message to the
    // outbox that closes the billing account.
    patient.deleted_at = Some(Utc::now().trunc_subsecs(6));
    let kind = VersionKind::Delete;
    let patient = storage::save(patient, kind, None, caller.into(), &mut transaction).await?;
    outbox::announce(&mut transaction, &patient, Change::Deleted).await?;
    trail
        .succeeded(&mut *transaction, Subject::Patient(id))
        .await?;
    let (answer, next) = transaction
        .commit_and_begin(id, StatusCode::NO_CONTENT)
        .await?;

    // Nothing is to be charged to them from the answer on.
    delivery.deliver_first(&database, next, id).await;
    Ok(answer)
}

//! `POST /api/patients/{id}/restore`: undoes the deletion of a patient.

use api::{
    EntityTag, IfMatch, PathId, Problem, ProblemDocument, ProblemType, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use events::Change;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use crate::{
    email_rule::EmailRule,
    history::VersionKind,
    outbox::{self, DeliveryFirst},
    patient::{Patient, not_found},
    schema::SCHEMA,
    storage,
    stored_answer::begin,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients/{id}/restore")
    .function("restore-patient")
    .requires(Permission::DeletePatient)
    .records(Action::RestorePatient)
    .about(About::PatientInPath)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: DeliveryFirst, rule: EmailRule) -> Router {
    ROUTE.served_by(
        restore_patient,
        (database.clone(), delivery, rule),
        database,
    )
}

/// Restore a deleted patient
///
/// They are as they were before their deletion, and found again; their billing account is open
/// again. Their appointments stay cancelled. If somebody else has got their e-mail address in the
/// meantime, they are not restored.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        IfMatch,
        IdempotencyKey,
    ),
    responses(
        (status = 200, description = "The patient as they are now", body = Patient,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The id or a header is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not restore patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient is not deleted, somebody else has the e-mail address by now, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn restore_patient(
    caller: Caller,
    State((database, delivery, rule)): State<(PgPool, DeliveryFirst, EmailRule)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
) -> Result<Response, Interrupted> {
    let mut transaction = begin(work, caller, &trail, Some(id)).await?;
    let mut patient = storage::lock(id, &mut transaction)
        .await?
        .ok_or_else(not_found)?;
    must_see_if(caller, patient.restricted)?;
    if patient.deleted_at.take().is_none() {
        let problem = Problem::new(ProblemType::Conflict, "The patient is not deleted");
        return Err(problem.into());
    }
    if_match.check(patient.version)?;
    let (kind, rule) = (VersionKind::Restore, Some(rule));
    // Along with it, a trigger in the schema writes a message to the outbox that opens the billing
    // account.
    let patient = storage::save(patient, kind, rule, caller.into(), &mut transaction).await?;
    let change = Change::Restored((&patient).into());
    outbox::announce(&mut transaction, &patient, change).await?;
    trail
        .succeeded(&mut *transaction, Subject::Patient(id))
        .await?;
    let answer: (EntityTag, Json<Patient>) = (patient.entity_tag(), Json(patient));
    let (answer, next) = transaction.commit_and_begin(id, answer).await?;

    // The answer says that the billing account is open again.
    delivery.deliver_first(&database, next, id).await;
    Ok(answer)
}

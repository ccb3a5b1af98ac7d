//! `PUT /api/patients/{id}`: replaces a patient's data.

use api::{
    ClinicTimeZone, IfMatch, Input, PathId, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::Utc;
use events::Change;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use crate::{
    email_rule::EmailRule,
    history::VersionKind,
    outbox::{self, Delivery},
    patient::Patient,
    patient_input::PatientInput,
    schema::SCHEMA,
    storage,
    stored_answer::begin,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::put("/api/patients/{id}")
    .function("update-patient")
    .requires(Permission::UpdatePatient)
    .records(Action::UpdatePatient)
    .about(About::PatientInPath)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery, rule: EmailRule) -> Router {
    ROUTE.served_by(update_patient, (database.clone(), delivery, rule), database)
}

/// Update a patient
///
/// Replaces their data. You may send back a patient that you have read, with your changes: fields
/// that you cannot set are ignored. Beyond the five flat fields, what is missing stays as it is, and
/// null or an empty list removes it. Where a flat field and a list say the same, the one that you
/// have changed counts.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        IfMatch,
        IdempotencyKey,
    ),
    request_body = PatientInput,
    responses(
        (status = 200, description = "The patient as they are now", body = Patient,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Another patient has the e-mail address or an identifier, and `existingPatientId` says who if the caller may see them; the record was merged into another one; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_patient(
    caller: Caller,
    State((database, delivery, rule)): State<(PgPool, Delivery, EmailRule)>,
    PathId(id): PathId,
    if_match: IfMatch,
    clinic: ClinicTimeZone,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<PatientInput>,
) -> Result<Response, Interrupted> {
    let change = input.parse(Utc::now(), clinic, rule)?;

    let mut transaction = begin(work, caller, &trail, Some(id)).await?;
    let patient = storage::lock(id, &mut transaction).await?;
    if let Some(patient) = &patient {
        must_see_if(caller, patient.restricted)?;
    }
    let mut patient = storage::changeable(patient)?;
    if_match.check(patient.version)?;
    let before = patient.clone();
    patient.set(change.of(Some(&patient))?);
    let (kind, rule) = (VersionKind::Update, Some(rule));
    let patient = storage::save(patient, kind, rule, caller.into(), &mut transaction).await?;
    let redirected = outbox::update_billing_account(&mut transaction, &before, &patient).await?;
    outbox::announce(
        &mut transaction,
        &patient,
        Change::Updated((&patient).into()),
    )
    .await?;
    trail
        .succeeded(&mut *transaction, Subject::Patient(id))
        .await?;
    let answer = (patient.entity_tag(), Json(patient));
    let (answer, next) = transaction.commit_and_begin(id, answer).await?;

    if redirected {
        // An invoice that is issued next has the new address.
        delivery.deliver_first(&database, next, id).await;
    } else {
        delivery.deliver_next(&database, next, id).await;
    }
    Ok(answer)
}

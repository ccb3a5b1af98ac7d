//! `PUT /api/patients/{id}`: replaces a patient's data.

use api::{
    ClinicTimeZone, IfMatch, Input, OnConstraint as _, PathId, ProblemDocument, State,
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
    outbox::{self, Delivery},
    patient::{
        EMAIL_UNIQUE, Patient, PatientInput, born_before_registered, email_taken, not_found,
    },
    schema::SCHEMA,
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
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(update_patient, (database.clone(), delivery), database)
}

/// Update a patient
///
/// Replaces their data. You may send back a patient that you have read, with your changes: fields
/// that you cannot set are ignored.
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
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Another patient has the e-mail address, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_patient(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    clinic: ClinicTimeZone,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<PatientInput>,
) -> Result<Response, Interrupted> {
    let details = input.parse(Utc::now(), clinic)?;

    let mut transaction = begin(work, caller, &database, &trail, Some(id)).await?;
    let before = sqlx::query!(
        "SELECT version, restricted FROM patients.patient WHERE id = $1 FOR UPDATE",
        id,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(not_found)?;
    must_see_if(caller, before.restricted)?;
    if_match.check(before.version)?;
    let patient = sqlx::query_as!(
        Patient,
        "UPDATE patients.patient
         SET version = version + 1, name = $2, email = $3, address = $4, date_of_birth = $5,
             registered_date = COALESCE($6, registered_date),
             updated_at = GREATEST(updated_at, clock_timestamp())
         WHERE id = $1
         RETURNING id, version, name, email, address, date_of_birth, registered_date,
                   restricted, created_at, updated_at",
        id,
        details.name.as_str(),
        details.email.as_written(),
        details.address.as_str(),
        details.date_of_birth,
        details.registered_date,
    )
    .fetch_one(&mut *transaction)
    .await
    .on_constraint(EMAIL_UNIQUE, email_taken)?;
    // If the client gave none, the date of registration is the one that was stored before.
    born_before_registered(patient.date_of_birth, patient.registered_date)?;
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
    let answer = transaction.commit(id, answer).await?;

    delivery.deliver_now(&database, id).await;
    Ok(answer)
}

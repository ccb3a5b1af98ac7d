//! `POST /api/patients/{id}/erase`: removes a deleted patient for good, as the right to erasure
//! asks for.

use std::collections::BTreeSet;

use api::{
    Input, InputErrors, PathId, Problem, ProblemDocument, ProblemType, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Router, response::Response};
use chrono::Utc;
use events::Change;
use fields::Lines;
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    outbox::{self, Delivery},
    patient::{Patient, not_found},
    record::Name,
    schema::SCHEMA,
    search::{terms, vocabulary},
    storage,
    stored_answer::begin,
};

/// A reason is a sentence: neither a single key typed to get past the field, nor a report.
const REASON_CHARACTERS: std::ops::RangeInclusive<usize> = 10..=500;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients/{id}/erase")
    .function("erase-patient")
    .requires(Permission::ErasePatient)
    .records(Action::ErasePatient)
    .about(About::PatientInPath)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(erase_patient, (database.clone(), delivery), database)
}

/// Why the patient is erased. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The patient asked for it in writing on 3 May" }))]
pub(crate) struct Erasure {
    /// The reason, 10 to 500 characters. It is kept on record: do not name the patient.
    #[serde(default)]
    #[schema(required = true, min_length = 10, max_length = 500)]
    reason: String,
}

/// Erase a deleted patient
///
/// Removes the record, its history and what search knows of it, and has everybody else who keeps
/// something of the patient remove what tells who they were. Their account, appointments and
/// entries in the audit trail remain with nothing but the id. Records that were merged into this one
/// are erased with it. There is no way back. A patient has to be deleted first.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        IdempotencyKey,
    ),
    request_body = Erasure,
    responses(
        (status = 204, description = "The patient is gone for good"),
        (status = 400, description = "The reason is missing, too short or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not erase patients", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient is not deleted or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn erase_patient(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    trail: Trail,
    work: UnitOfWork,
    Input(erasure): Input<Erasure>,
) -> Result<Response, Interrupted> {
    let reason = erasure.parse()?;

    let mut transaction = begin(work, caller, &trail, Some(id)).await?;
    let patient = storage::lock_to_erase(id, &mut transaction)
        .await?
        .ok_or_else(not_found)?;
    must_see_if(caller, patient.restricted)?;
    if patient.deleted_at.is_none() {
        let problem = Problem::new(ProblemType::Conflict, "Delete the patient first");
        return Err(problem.into());
    }
    // The records that were merged into this one are of the same person.
    let merged = sqlx::query_scalar!(
        "SELECT id FROM patients.patient WHERE merged_into = $1 ORDER BY id",
        id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut words = every_word(id, &mut transaction).await?;
    let mut erased = vec![id];
    for source in merged {
        if let Some(source) = storage::lock_to_erase(source, &mut transaction).await? {
            words.append(&mut every_word(source.id, &mut transaction).await?);
            erased.push(source.id);
            erase(source, &mut transaction).await?;
        }
    }
    erase(patient, &mut transaction).await?;
    vocabulary::forget_after(&mut transaction, words).await?;
    trail
        .succeeded_because(
            &mut *transaction,
            Subject::Patients(&erased),
            reason.as_str(),
        )
        .await?;
    let answer = transaction.commit(id, StatusCode::NO_CONTENT).await?;

    // If this fails, the relay of the outbox does it.
    if let Err(error) = vocabulary::forget(&database).await {
        tracing::warn!(cause = %error, "words of an erased patient are not forgotten yet");
    }
    delivery.deliver_now(&database, id).await;
    Ok(answer)
}

/// Every word of every name that the patient ever had.
async fn every_word(
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<BTreeSet<String>, Problem> {
    let names = sqlx::query_scalar!(
        r#"SELECT DISTINCT (snapshot -> 'names')::text AS "names!"
           FROM patients.patient_version
           WHERE patient_id = $1"#,
        patient,
    )
    .fetch_all(transaction)
    .await?;
    let mut words = BTreeSet::new();
    for names in names {
        let names: Vec<Name> = serde_json::from_str(&names).map_err(Problem::internal)?;
        words.append(&mut terms::words_of(&names));
    }
    Ok(words)
}

/// Removes one record, and has everybody told.
async fn erase(mut patient: Patient, transaction: &mut Transaction) -> Result<(), Problem> {
    let version = sqlx::query_scalar!("SELECT patients.erase($1)", patient.id)
        .fetch_one(&mut *transaction)
        .await?;
    patient.version = version.ok_or_else(not_found)?;
    patient.updated_at = Utc::now();
    outbox::erase_billing_account(transaction, patient.id).await?;
    outbox::announce(transaction, &patient, Change::Erased).await?;
    Ok(())
}

impl Erasure {
    fn parse(self) -> Result<Lines, Problem> {
        let mut errors = InputErrors::default();
        let reason = Lines::parse(&self.reason, &REASON_CHARACTERS);
        let reason = reason.map_err(|error| format!("The reason {error}"));
        errors
            .field("reason", reason)
            .ok_or_else(|| errors.into_problem())
    }
}

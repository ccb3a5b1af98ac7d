//! `POST /api/patients/duplicates`: who may be a patient who is about to be registered.

use api::{
    ClinicTimeZone, Input, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use chrono::Utc;
use identity::{Caller, Permission};
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Grade, alike, compared_with};
use crate::{email_rule::EmailRule, patient::Patient, patient_input::PatientInput, storage};

/// How many are told at most.
const MOST: usize = 10;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/patients/duplicates")
    .function("check-duplicates")
    .requires(Permission::CreatePatient)
    .records(Action::FindDuplicates);

/// Serves the route.
pub fn routes(database: PgPool, rule: EmailRule) -> Router {
    ROUTE.served_by(check_duplicates, (database.clone(), rule), database)
}

/// Those who may be the patient.
#[derive(Serialize, ToSchema)]
pub(crate) struct Candidates {
    /// The likeliest first, at most 10.
    candidates: Vec<Candidate>,
}

/// Somebody who may be the patient.
#[derive(Serialize, ToSchema)]
#[schema(title = "DuplicateCandidate", as = DuplicateCandidate)]
pub(crate) struct Candidate {
    /// Who is there already.
    patient: Patient,
    /// How likely it is that they are one, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    score: f64,
    /// The score in a word.
    grade: Grade,
}

/// Look for duplicates
///
/// Send a patient as you would to register them: nobody is registered, and the answer is a hint and
/// no more. Names may be spelled otherwise, days and months swapped, family and given names
/// exchanged. Restricted patients are named only to callers who may see them.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "duplicates",
    request_body = PatientInput,
    responses(
        (status = 200, description = "Those who may be the patient", body = Candidates),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn check_duplicates(
    caller: Caller,
    State((database, rule)): State<(PgPool, EmailRule)>,
    clinic: ClinicTimeZone,
    trail: Trail,
    Input(input): Input<PatientInput>,
) -> Result<Json<Candidates>, Problem> {
    let now = Utc::now();
    let details = input.parse(now, clinic, rule)?.of(None)?;
    let patient = storage::unregistered(details, clinic.day(now));
    let sees_restricted = caller.role.may(Permission::SeeRestrictedPatients);
    let others = compared_with(&patient, sees_restricted, &database).await?;
    let mut alike = alike(&patient, storage::find_all(&others, &database).await?);
    alike.truncate(MOST);
    let seen: Vec<Uuid> = alike.iter().map(|(patient, _)| patient.id).collect();
    let candidates = alike.into_iter().filter_map(|(patient, score)| {
        Some(Candidate {
            patient,
            score,
            grade: Grade::of(score)?,
        })
    });
    let candidates = candidates.collect();
    trail.succeeded(&database, Subject::Patients(&seen)).await?;
    Ok(Json(Candidates { candidates }))
}

//! `PUT /api/patients/{id}/restriction`: closes a patient's record to most of the staff, or opens
//! it again.

use std::sync::Arc;

use api::{
    EntityTag, IfMatch, Input, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sessions::Sessions;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use crate::{history::VersionKind, patient::Patient, storage};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/patients/{id}/restriction")
        .function("restrict-patient")
        .requires(Permission::RestrictPatient)
        .records(Action::RestrictPatient)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool, sessions: Sessions) -> Router {
    ROUTE.served_by(
        restrict_patient,
        (database.clone(), Arc::new(sessions)),
        database,
    )
}

/// Whether a patient's record is restricted. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "restricted": true }))]
pub(crate) struct Restriction {
    restricted: bool,
}

/// Restrict a patient's record
///
/// A restricted record, with its notifications and billing account, can only be seen by
/// administrators and auditors. Clinicians may open it in an emergency.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        IfMatch,
    ),
    request_body = Restriction,
    responses(
        (status = 200, description = "The patient as they are now", body = Patient,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The record was merged into another one", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn restrict_patient(
    caller: Caller,
    State((database, sessions)): State<(PgPool, Arc<Sessions>)>,
    trail: Trail,
    PathId(id): PathId,
    if_match: IfMatch,
    Input(restriction): Input<Restriction>,
) -> Result<(EntityTag, Json<Patient>), Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    sessions
        .must_still(&mut transaction, caller, Permission::RestrictPatient)
        .await?;
    let patient = storage::lock(id, &mut transaction).await?;
    let mut patient = storage::changeable(patient)?;
    if_match.check(patient.version)?;
    // No event: what other services know of the patient has not changed.
    patient.restricted = restriction.restricted;
    let kind = VersionKind::Update;
    let patient = storage::save(patient, kind, None, caller.into(), &mut transaction).await?;
    // The records that were merged into this one are as open or closed as it is.
    sqlx::query!(
        "UPDATE patients.patient SET restricted = $2 WHERE merged_into = $1 AND restricted <> $2",
        id,
        restriction.restricted,
    )
    .execute(&mut transaction)
    .await?;
    trail
        .succeeded(&mut transaction, Subject::Patient(id))
        .await?;
    transaction.commit().await?;
    Ok((patient.entity_tag(), Json(patient)))
}

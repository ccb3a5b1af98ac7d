//! `GET /api/patients/{id}`: one patient.

use api::{EntityTag, PathId, Problem, ProblemDocument};
use audit_trail::{Action, Subject, Trail, layer};
use axum::{Json, Router, extract::State, routing::get};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use sqlx::PgPool;

use crate::patient::{Patient, not_found};

/// The route.
pub fn routes(database: PgPool) -> Router {
    let routes = Router::new()
        .route("/api/patients/{id}", get(get_patient))
        .with_state(database.clone());
    layer(database, Action::ReadPatient, routes)
}

/// Get a patient
///
/// Their data as it is now, and its version. On record, as every look at a patient is.
#[utoipa::path(
    get, path = "/api/patients/{id}", tag = "patients", operation_id = "getPatient",
    params(("id" = uuid::Uuid, Path, description = "The patient's id")),
    responses(
        (status = 200, description = "The patient", body = Patient,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
pub(crate) async fn get_patient(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Patient>), Problem> {
    caller.must(Permission::ReadPatient)?;

    let patient = sqlx::query_as!(
        Patient,
        "SELECT id, version, name, email, address, date_of_birth, registered_date,
                restricted, created_at, updated_at
         FROM patients.patient
         WHERE id = $1",
        id,
    )
    .fetch_optional(&database)
    .await?
    .ok_or_else(not_found)?;
    must_see_if(caller, patient.restricted)?;

    trail.succeeded(&database, Subject::Patient(id)).await?;
    Ok((patient.entity_tag(), Json(patient)))
}

//! `GET /api/patients/{id}`: one patient.

use api::{
    EntityTag, PathId, Problem, ProblemDocument,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use crate::{patient::Patient, storage};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}")
    .function("get-patient")
    .requires(Permission::ReadPatient)
    .records(Action::ReadPatient)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_patient, (), database)
}

/// Get a patient
///
/// Their current data and version. A record that was merged into another one can still be read:
/// `mergedInto` says which continues it. Every read of a patient is recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(("id" = uuid::Uuid, Path, description = "The patient's id")),
    responses(
        (status = 200, description = "The patient", body = Patient,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_patient(
    caller: Caller,
    trail: Trail,
    PathId(id): PathId,
) -> Result<(EntityTag, Json<Patient>), Problem> {
    let restricted = caller.role.may(Permission::SeeRestrictedPatients);
    let found = storage::find_on_record(id, restricted, trail.success(), trail.database()).await?;
    let (patient, is_recorded) = found.unzip();
    if let Some(patient) = &patient {
        must_see_if(caller, patient.restricted)?;
    }
    let patient = storage::in_use(patient)?;
    if is_recorded == Some(true) {
        trail.written_with_read();
    }
    Ok((patient.entity_tag(), Json(patient)))
}

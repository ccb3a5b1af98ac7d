//! `GET /api/patients/{id}/versions/{version}`: a patient as they were.

use api::{
    Id, PathInput, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgPool;

use crate::{
    history::{self, VersionKind},
    patient::{Patient, deleted},
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::get("/api/patients/{id}/versions/{version}")
        .function("get-patient-version")
        .requires(Permission::ReadPatient)
        .records(Action::ReadPatientHistory)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_patient_version, database.clone(), database)
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    id: Id,
    version: String,
}

/// Get a version of a patient
///
/// The patient as the change that made the version answered with them. The version of a deletion
/// has nothing to show: it is a 404 of the type `deleted`.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(
        ("id" = uuid::Uuid, Path, description = "The patient's id"),
        ("version" = u32, Path, description = "The version, from 1", minimum = 1),
    ),
    responses(
        (status = 200, description = "The patient as they were", body = Patient),
        (status = 400, description = "The id is not a UUID, or the version is not a positive number", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such version, or it is a deletion: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_patient_version(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathInput(Wanted {
        id: Id(id),
        version,
    }): PathInput<Wanted>,
) -> Result<Json<Box<RawValue>>, Problem> {
    let number = version.parse().ok();
    let number = number.filter(|number: &i64| *number > 0 && number.to_string() == version);
    let version =
        number.ok_or_else(|| Problem::invalid_field("version", "Must be a number from 1"))?;
    history::must_be_seen(caller, id, &database).await?;
    let row = sqlx::query!(
        r#"SELECT kind, snapshot::text AS "snapshot!",
                  coalesce((snapshot ->> 'restricted')::boolean, false) AS "restricted!"
           FROM patients.patient_version
           WHERE patient_id = $1 AND version = $2"#,
        id,
        version,
    )
    .fetch_optional(&database)
    .await?
    .ok_or_else(|| Problem::not_found("Version not found"))?;
    // As with a restricted record that was merged into this one for a while.
    must_see_if(caller, row.restricted)?;
    if row.kind == <&str>::from(VersionKind::Delete) {
        return Err(deleted());
    }
    // A snapshot is returned as it was written, whatever fields patients have got since.
    let snapshot = RawValue::from_string(row.snapshot).map_err(Problem::internal)?;
    trail.succeeded(&database, Subject::Patient(id)).await?;
    Ok(Json(snapshot))
}

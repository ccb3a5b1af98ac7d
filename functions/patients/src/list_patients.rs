//! `GET /api/patients`: the list of patients, oldest record first, a page at a time.

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{patient::Patient, storage};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients")
    .function("list-patients")
    .requires(Permission::ListPatients)
    .records(Action::ListPatients);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_patients, database.clone(), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Id>>,
    /// The number of patients per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of patients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientList {
    patients: Vec<Patient>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List patients
///
/// Restricted patients are listed only for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(Page),
    responses(
        (status = 200, description = "A page of patients", body = PatientList),
        (status = 400, description = "The cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_patients(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<PatientList>, Problem> {
    let after = page.cursor.map_or(Uuid::nil(), |Cursor(Id(id))| id);
    let mut ids = sqlx::query_scalar!(
        "SELECT id FROM patients.patient
         WHERE id > $1 AND (NOT restricted OR $3) AND deleted_at IS NULL AND merged_into IS NULL
         ORDER BY id
         LIMIT $2",
        after,
        page.limit.and_one_more(),
        caller.role.may(Permission::SeeRestrictedPatients),
    )
    .fetch_all(&database)
    .await?;

    let next_cursor = page.limit.cut(&mut ids, |last| Id(*last));
    let patients = storage::find_all(&ids, &database).await?;

    let seen: Vec<Uuid> = patients.iter().map(|patient| patient.id).collect();
    trail.succeeded(&database, Subject::Patients(&seen)).await?;
    Ok(Json(PatientList {
        patients,
        next_cursor,
    }))
}

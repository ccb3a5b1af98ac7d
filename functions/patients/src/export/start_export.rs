//! `POST /api/patients/exports`: has all patients written to a file.

use std::sync::Arc;

use api::{
    Input, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router, response::IntoResponse};
use http::{StatusCode, header};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{answer::Export, on_record};
use crate::{import::FileFormat, next_export::NextExport};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::post("/api/patients/exports")
    .function("start-export")
    .requires(Permission::ExportPatients)
    .records(Action::ExportPatients);

/// Serves the route.
pub fn routes(database: PgPool, next: NextExport) -> Router {
    ROUTE.served_by(start_export, (database.clone(), Arc::new(next)), database)
}

/// What is to be exported. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "format": "NDJSON" }))]
pub(crate) struct ExportInput {
    /// How the file is to be laid out. A JSON object per line is the whole patient. A table, in UTF-8
    /// and separated by commas, has `id`, `recordNumber` and the columns that an import reads: of
    /// names, numbers and addresses, the first of each kind. Both say who is restricted, and both can
    /// be imported.
    format: FileFormat,
}

/// Export patients
///
/// All of them, except for those who are deleted or merged into another, and for restricted ones
/// unless the caller may see them. Ask for the export until its state is `COMPLETED`. Whose data is
/// in the file is in the audit trail.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "patients",
    request_body = ExportInput,
    responses(
        (status = 202, description = "The file will be written", body = Export,
         headers(("Location" = String, description = "Where the export is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn start_export(
    caller: Caller,
    State((database, next)): State<(PgPool, Arc<NextExport>)>,
    trail: Trail,
    Input(input): Input<ExportInput>,
) -> Result<impl IntoResponse, Problem> {
    let id = Uuid::now_v7();
    let mut transaction = Transaction::begin(&database).await?;
    sqlx::query!(
        "INSERT INTO patients.export (id, format, restricted, actor_id, actor_role)
         VALUES ($1, $2, $3, $4, $5)",
        id,
        input.format.name(),
        caller.role.may(Permission::SeeRestrictedPatients),
        caller.user,
        caller.role.name(),
    )
    .execute(&mut transaction)
    .await?;
    let export = Export::find(&mut transaction, id).await?;
    trail
        .succeeded(&mut transaction, Subject::Resource(on_record(id)))
        .await?;
    transaction.commit().await?;
    next.begin().await;
    let at = [(header::LOCATION, format!("exports/{id}"))];
    Ok((StatusCode::ACCEPTED, at, Json(export)))
}

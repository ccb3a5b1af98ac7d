//! `GET /api/patients/exports/{id}`: how far an export is, and where to download it.

use std::sync::Arc;

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use sqlx::PgPool;

use super::{
    answer::{self, Export},
    key, on_record,
};
use crate::files::Files;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/exports/{id}")
    .function("get-export")
    .requires(Permission::ExportPatients)
    .records(Action::ExportPatients)
    .about(About::ResourceInPath(ResourceType::PatientExport));

/// Serves the route.
pub fn routes(database: PgPool, files: Files) -> Router {
    ROUTE.served_by(get_export, (database.clone(), Arc::new(files)), database)
}

/// Get an export
///
/// How many patients are in the file, and, once it is written, a link to download it that can be
/// used for 15 minutes. The file is kept for 7 days.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(("id" = uuid::Uuid, Path, description = "The export's id")),
    responses(
        (status = 200, description = "The export", body = Export),
        (status = 403, description = "The role may not export patients, or not all who are in the file", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such export", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_export(
    caller: Caller,
    State((database, files)): State<(PgPool, Arc<Files>)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<Json<Export>, Problem> {
    let mut export = Export::find(&database, id).await?;
    must_see_if(caller, export.restricted)?;
    if export.state == answer::State::Completed {
        let name = format!("patients-{id}.{}", export.format.extension());
        let link = files.download_link(&key(id), &name).await?;
        export.download_url = Some(link.url);
        export.download_url_expires_at = Some(link.expires_at);
    }
    trail
        .succeeded(&database, Subject::Resource(on_record(id)))
        .await?;
    Ok(Json(export))
}

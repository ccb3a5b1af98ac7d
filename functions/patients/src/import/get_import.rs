//! `GET /api/patients/imports/{id}`: how far an import is, and what became of its lines.

use std::sync::Arc;

use api::{
    PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use sqlx::PgPool;

use super::{
    answer::{self, Import},
    on_record, outcomes_key,
};
use crate::files::Files;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/imports/{id}")
    .function("get-import")
    .requires(Permission::ImportPatients)
    .records(Action::ImportPatients)
    .about(About::ResourceInPath(ResourceType::PatientImport));

/// Serves the route.
pub fn routes(database: PgPool, files: Files) -> Router {
    ROUTE.served_by(get_import, (database.clone(), Arc::new(files)), database)
}

/// Get an import
///
/// How many of its lines have an outcome. Once all have, the answer has a link to what became of
/// each, which can be used for 15 minutes. An import can be looked at for 30 days, and the outcome
/// of its lines for 7.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "patients",
    params(("id" = uuid::Uuid, Path, description = "The import's id")),
    responses(
        (status = 200, description = "The import", body = Import),
        (status = 404, description = "There is no such import", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_import(
    State((database, files)): State<(PgPool, Arc<Files>)>,
    trail: Trail,
    PathId(id): PathId,
) -> Result<Json<Import>, Problem> {
    let mut import = Import::find(&database, id).await?;
    if import.state == answer::State::Completed {
        let name = format!("outcomes-{id}.ndjson");
        let link = files.download_link(&outcomes_key(id), &name).await?;
        import.outcomes_url = Some(link.url);
        import.outcomes_url_expires_at = Some(link.expires_at);
    }
    trail
        .succeeded(&database, Subject::Resource(on_record(id)))
        .await?;
    Ok(Json(import))
}

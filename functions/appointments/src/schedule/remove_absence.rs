//! `DELETE /api/resources/{id}/absences/{absence}`: takes back an absence.

use api::{
    Id, PathInput, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;

use super::{changing::Changed, resource};
use crate::{clock, outbox::Delivery};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::delete("/api/resources/{id}/absences/{absence}")
        .function("remove-absence")
        .requires(Permission::RecordAbsences)
        .records(Action::RecordAbsence)
        .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(remove_absence, (database.clone(), delivery), database)
}

/// Which absence.
#[derive(Deserialize)]
pub(crate) struct Which {
    id: Id,
    absence: Id,
}

/// Remove an absence
///
/// The resource is there again. Appointments that were orphaned by the absence no longer are.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "schedules",
    params(
        ("id" = uuid::Uuid, Path, description = "The resource's id"),
        ("absence" = uuid::Uuid, Path, description = "The absence's id"),
    ),
    responses(
        (status = 204, description = "The resource is there"),
        (status = 400, description = "An id is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such absence", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_absence(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathInput(which): PathInput<Which>,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    let (Id(id), Id(absence)) = (which.id, which.absence);
    let mut transaction = Transaction::begin(&database).await?;
    resource::lock_to_change(&mut transaction, id).await?;
    sqlx::query!(
        "DELETE FROM appointments.absence WHERE id = $1 AND resource_id = $2 RETURNING id",
        absence,
        id,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(|| Problem::not_found("Absence not found"))?;
    let changed = Changed {
        caller,
        database: &database,
        delivery: &delivery,
        trail: &trail,
        resources: &[id],
        about: Resource {
            kind: ResourceType::Resource,
            id,
        },
        reason: None,
        preview: false,
    };
    changed.end(transaction, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `DELETE /api/locations/{id}/closures/{date}`: opens a location that was to be closed.

use api::{
    PathIdAndDay, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;
use store::Transaction;

use super::changing::Changed;
use crate::{booking::resources, clock, outbox::Delivery};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::delete("/api/locations/{id}/closures/{date}")
        .function("open-location")
        .requires(Permission::ManageSchedules)
        .records(Action::ConfigureSchedule)
        .about(About::ResourceInPath(ResourceType::Location));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(open_location, (database.clone(), delivery), database)
}

/// Open a location again
///
/// It is open on that day, as on any other. Appointments that were orphaned by the closure no longer
/// are.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "schedules",
    params(
        ("id" = uuid::Uuid, Path, description = "The location's id"),
        ("date" = chrono::NaiveDate, Path, description = "The day, at the location"),
    ),
    responses(
        (status = 204, description = "It is open"),
        (status = 400, description = "The id or the date is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "It was not to be closed on that day", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open_location(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathIdAndDay(id, date): PathIdAndDay,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    let resources = resources::lock_all_at(&mut transaction, id).await?;
    sqlx::query!(
        "DELETE FROM appointments.closure WHERE location_id = $1 AND day = $2 RETURNING day",
        id,
        date,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(|| Problem::not_found("There is no such closure"))?;
    let changed = Changed {
        caller,
        database: &database,
        delivery: &delivery,
        trail: &trail,
        resources: &resources,
        about: Resource {
            kind: ResourceType::Location,
            id,
        },
        reason: None,
        preview: false,
    };
    changed.end(transaction, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `DELETE /api/resources/{id}/exceptions/{date}`: gives a day its weekly hours back.

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

use super::{changing::Changed, resource};
use crate::{clock, outbox::Delivery};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::delete("/api/resources/{id}/exceptions/{date}")
        .function("remove-exception")
        .requires(Permission::ManageSchedules)
        .records(Action::ConfigureSchedule)
        .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(remove_exception, (database.clone(), delivery), database)
}

/// Remove the exception of a day
///
/// The resource works on that day as in any other week.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "schedules",
    params(
        ("id" = uuid::Uuid, Path, description = "The resource's id"),
        ("date" = chrono::NaiveDate, Path, description = "The day, at the location"),
    ),
    responses(
        (status = 204, description = "The weekly hours are valid"),
        (status = 400, description = "The id or the date is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The day has no exception", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_exception(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathIdAndDay(id, date): PathIdAndDay,
    trail: Trail,
) -> Result<StatusCode, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    resource::lock_to_change(&mut transaction, id).await?;
    sqlx::query!(
        "DELETE FROM appointments.day_exception WHERE resource_id = $1 AND day = $2 RETURNING day",
        id,
        date,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(|| Problem::not_found("There is no such exception"))?;
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

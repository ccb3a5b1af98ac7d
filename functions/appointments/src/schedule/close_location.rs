//! `PUT /api/locations/{id}/closures/{date}`: closes a location for a day.

use api::{
    Input, PathIdAndDay, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Trail};
use axum::{Json, Router};
use chrono::NaiveDate;
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    changing::{Changed, shown},
    text,
};
use crate::{
    booking::{appointment::Appointment, resources},
    clock,
    outbox::Delivery,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/locations/{id}/closures/{date}")
        .function("close-location")
        .requires(Permission::ManageSchedules)
        .records(Action::ConfigureSchedule)
        .about(About::ResourceInPath(ResourceType::Location));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(close_location, (database.clone(), delivery), database)
}

/// Why a location is closed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "Bank holiday" }))]
pub(crate) struct ClosureInput {
    /// The reason, 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    reason: String,
    /// Whether only to show which appointments nobody would be there for.
    #[serde(default)]
    preview: bool,
}

/// A closure, and what it does to what is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Closure {
    location_id: Uuid,
    date: NaiveDate,
    reason: String,
    /// Whether nothing has been changed.
    preview: bool,
    /// The appointments that nobody is there for.
    orphaned: Vec<Appointment>,
}

/// Close a location for a day
///
/// Nothing can be booked there on that day. What is booked stays booked, and is marked as orphaned.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "schedules",
    params(
        ("id" = Uuid, Path, description = "The location's id"),
        ("date" = NaiveDate, Path, description = "The day, at the location"),
    ),
    request_body = ClosureInput,
    responses(
        (status = 200, description = "It is closed; the appointments that nobody is there for", body = Closure),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such location", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn close_location(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathIdAndDay(id, date): PathIdAndDay,
    trail: Trail,
    Input(input): Input<ClosureInput>,
) -> Result<Json<Closure>, Problem> {
    let reason = text::name(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let mut transaction = Transaction::begin(&database).await?;
    let resources = resources::lock_all_at(&mut transaction, id).await?;
    sqlx::query!(
        "INSERT INTO appointments.closure (location_id, day, reason)
         SELECT id, $2, $3 FROM appointments.location WHERE id = $1
         ON CONFLICT (location_id, day) DO UPDATE SET reason = excluded.reason
         RETURNING day",
        id,
        date,
        reason.as_str(),
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(|| Problem::not_found("Location not found"))?;
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
        reason: Some(reason.as_str()),
        preview: input.preview,
    };
    let orphaned = changed.end(transaction, clock::now()).await?;
    Ok(Json(Closure {
        location_id: id,
        date,
        reason: reason.as_str().to_owned(),
        preview: input.preview,
        orphaned: shown(orphaned),
    }))
}

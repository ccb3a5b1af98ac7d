//! `PUT /api/resources/{id}/exceptions/{date}`: sets the hours of a resource on one day.

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
use sqlx::{PgPool, postgres::types::PgRange};
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    changing::{Changed, shown},
    resource,
    windows::{Window, Windows},
};
use crate::{booking::appointment::Appointment, clock, outbox::Delivery};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/resources/{id}/exceptions/{date}")
        .function("replace-exception")
        .requires(Permission::ManageSchedules)
        .records(Action::ConfigureSchedule)
        .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(replace_exception, (database.clone(), delivery), database)
}

/// The hours of one day.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "hours": [{ "from": "10:00", "to": "14:00" }] }))]
pub(crate) struct ExceptionInput {
    /// When it works on that day, instead of its weekly hours; empty if it does not.
    #[schema(max_items = 10)]
    hours: Vec<Window>,
    /// Whether only to show which appointments nobody would be there for.
    #[serde(default)]
    preview: bool,
}

/// The hours of one day, and what they do to what is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplacedException {
    resource_id: Uuid,
    date: NaiveDate,
    hours: Vec<Window>,
    /// Whether nothing has been changed.
    preview: bool,
    /// The appointments that nobody is there for.
    orphaned: Vec<Appointment>,
}

/// Set the hours of a resource on one day
///
/// They replace its weekly hours on that day, and what was set for the day before.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "schedules",
    params(
        ("id" = Uuid, Path, description = "The resource's id"),
        ("date" = NaiveDate, Path, description = "The day, at the location"),
    ),
    request_body = ExceptionInput,
    responses(
        (status = 200, description = "The hours, and the appointments that nobody is there for", body = ReplacedException),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replace_exception(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathIdAndDay(id, date): PathIdAndDay,
    trail: Trail,
    Input(input): Input<ExceptionInput>,
) -> Result<Json<ReplacedException>, Problem> {
    let windows = Windows::of_a_day(&input.hours)
        .map_err(|error| Problem::invalid_field("hours", error.to_string()))?;
    let mut transaction = Transaction::begin(&database).await?;
    resource::lock_to_change(&mut transaction, id).await?;
    sqlx::query!(
        "INSERT INTO appointments.day_exception (resource_id, day, windows) VALUES ($1, $2, $3)
         ON CONFLICT (resource_id, day) DO UPDATE SET windows = excluded.windows",
        id,
        date,
        &windows.ranges() as &[PgRange<i32>],
    )
    .execute(&mut transaction)
    .await?;
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
        preview: input.preview,
    };
    let orphaned = changed.end(transaction, clock::now()).await?;
    Ok(Json(ReplacedException {
        resource_id: id,
        date,
        hours: windows.written(),
        preview: input.preview,
        orphaned: shown(orphaned),
    }))
}

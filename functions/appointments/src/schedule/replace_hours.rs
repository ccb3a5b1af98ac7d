//! `PUT /api/resources/{id}/hours`: sets the weekly hours of a resource, from a date on.

use api::{
    EntityTag, IfMatch, Input, InputErrors, PathId, Problem, ProblemDocument, State,
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
    windows::{WeeklyWindow, Windows},
};
use crate::{booking::appointment::Appointment, clock, outbox::Delivery};

/// The first date of hours without one: before anything that could be booked.
const ALWAYS: NaiveDate = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::put("/api/resources/{id}/hours")
    .function("replace-hours")
    .requires(Permission::ManageSchedules)
    .records(Action::ConfigureSchedule)
    .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(replace_hours, (database.clone(), delivery), database)
}

/// Weekly hours.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "weekly": [
        { "weekday": "MONDAY", "from": "09:00", "to": "12:30" },
        { "weekday": "MONDAY", "from": "13:30", "to": "17:00" }
    ],
    "validFrom": "2027-01-01"
}))]
pub(crate) struct HoursInput {
    /// When it works, on the clock of the location; empty if it never does.
    #[schema(max_items = 70)]
    weekly: Vec<WeeklyWindow>,
    /// From when on: earlier hours are valid until then, and later ones are replaced. Without it,
    /// these are its only hours.
    #[schema(value_type = Option<NaiveDate>)]
    valid_from: Option<String>,
    /// Whether only to show which appointments nobody would be there for.
    #[serde(default)]
    preview: bool,
}

/// Hours, and what they do to what is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplacedHours {
    resource_id: Uuid,
    valid_from: NaiveDate,
    weekly: Vec<WeeklyWindow>,
    /// Whether nothing has been changed.
    preview: bool,
    /// The appointments that nobody is there for.
    orphaned: Vec<Appointment>,
}

/// Set the weekly hours of a resource
///
/// What is booked outside of them stays booked, and is marked as orphaned.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "schedules",
    params(("id" = Uuid, Path, description = "The resource's id"), IfMatch),
    request_body = HoursInput,
    responses(
        (status = 200, description = "The hours, and the appointments that nobody is there for", body = ReplacedHours,
         headers(("ETag" = String, description = "The new version of the resource"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replace_hours(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    Input(input): Input<HoursInput>,
) -> Result<(EntityTag, Json<ReplacedHours>), Problem> {
    let (windows, valid_from) = input.parse()?;
    let mut transaction = Transaction::begin(&database).await?;
    let version = resource::lock_to_change(&mut transaction, id).await?;
    if_match.check(version - 1)?;
    sqlx::query!(
        "WITH replaced AS (
             DELETE FROM appointments.hours WHERE resource_id = $1 AND valid_from > $2
         )
         INSERT INTO appointments.hours (resource_id, valid_from, windows) VALUES ($1, $2, $3)
         ON CONFLICT (resource_id, valid_from) DO UPDATE SET windows = excluded.windows",
        id,
        valid_from,
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
    let version = if input.preview { version - 1 } else { version };
    Ok((
        EntityTag(version),
        Json(ReplacedHours {
            resource_id: id,
            valid_from,
            weekly: windows.written_by_weekday(),
            preview: input.preview,
            orphaned: shown(orphaned),
        }),
    ))
}

impl HoursInput {
    fn parse(&self) -> Result<(Windows, NaiveDate), Problem> {
        let mut errors = InputErrors::default();
        let windows = errors.field("weekly", Windows::of_a_week(&self.weekly));
        let valid_from = self.valid_from.as_deref().map_or(Ok(ALWAYS), api::day);
        let valid_from = errors.field("validFrom", valid_from);
        windows.zip(valid_from).ok_or_else(|| errors.into_problem())
    }
}

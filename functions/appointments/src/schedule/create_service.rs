//! `POST /api/services`: sets up something that appointments are for.

use std::ops::RangeInclusive;

use api::{
    Input, InputErrors, OnConstraint as _, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Resource, ResourceType, Subject, Trail};
use axum::{Json, Router, response::Response};
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::Permission;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{resource::ResourceKind, service::Service, text};
use crate::schema::SCHEMA;

/// Minutes in a day.
const DAY: i32 = 24 * 60;

/// How many days ahead appointments can be booked by default: two years.
const HORIZON_DAYS: i32 = 730;

/// When patients are reminded by default: two days and two hours before.
const REMINDERS: [i32; 2] = [2 * DAY, 120];

/// The longest time before an appointment that a patient is reminded: four weeks.
const EARLIEST_REMINDER: i32 = 28 * DAY;

/// How many reminders there can be of one appointment.
const MOST_REMINDERS: usize = 5;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/services")
    .function("create-service")
    .requires(Permission::ManageSchedules)
    .records(Action::ConfigureSchedule)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(create_service, (), database)
}

/// A new service.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "code": "CONSULT-30", "name": "Consultation", "durationMinutes": 30, "bufferAfterMinutes": 5,
    "gridMinutes": 15, "noticeMinutes": 120, "capacity": 1, "resourceKinds": ["CLINICIAN"]
}))]
pub(crate) struct ServiceInput {
    /// The code under which it is billed: 1 to 32 letters, digits, dots, hyphens and underscores.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
    code: String,
    /// What the clinic calls it, 1 to 100 characters. Patients do not read it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// How long it takes.
    #[schema(minimum = 1, maximum = 1440)]
    duration_minutes: i32,
    /// How long its resources are not free after it.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1440, default = 0)]
    buffer_after_minutes: i32,
    /// Appointments start at multiples of this after midnight, on the clock of the location; its
    /// duration by default.
    #[schema(minimum = 1, maximum = 1440)]
    grid_minutes: Option<i32>,
    /// How long before its start an appointment can still be booked.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 525_600, default = 0)]
    notice_minutes: i32,
    /// How many days ahead an appointment can be booked.
    #[schema(minimum = 1, maximum = 1830, default = 730)]
    horizon_days: Option<i32>,
    /// How many patients share a slot.
    #[schema(minimum = 1, maximum = 100, default = 1)]
    capacity: Option<i32>,
    /// The kinds of resources that it needs, one of each; a clinician by default.
    #[schema(min_items = 1, max_items = 3)]
    resource_kinds: Option<Vec<ResourceKind>>,
    /// When patients are reminded, in minutes before the start, up to five times. Whole days are
    /// days of the calendar. Two days and two hours before by default.
    #[schema(max_items = 5)]
    reminder_minutes: Option<Vec<i32>>,
}

/// A validated service.
struct ServiceDetails {
    code: String,
    name: fields::Line,
    duration: i32,
    buffer_after: i32,
    grid: i32,
    notice: i32,
    horizon: i32,
    capacity: i32,
    kinds: Vec<ResourceKind>,
    reminders: Vec<i32>,
}

/// What is wrong with a service, in terms that clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum InvalidService {
    #[error("The code must have 1 to 32 letters, digits, dots, hyphens and underscores")]
    Code,
    #[error("Must be a number from {0} to {1}")]
    Number(i32, i32),
    #[error("Must name 1 to 3 kinds of resources, each once")]
    Kinds,
    #[error("Must be at most {MOST_REMINDERS} different numbers from 1 to {EARLIEST_REMINDER}")]
    Reminders,
}

/// Set up a service
///
/// What can be booked follows from it: how long it takes, when it may start, and what it needs.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "schedules",
    params(IdempotencyKey),
    request_body = ServiceInput,
    responses(
        (status = 201, description = "The service is set up", body = Service),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Another service has the code, or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_service(
    State(()): State<()>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<ServiceInput>,
) -> Result<Response, Interrupted> {
    let details = input.parse()?;
    let kinds: Vec<String> = details
        .kinds
        .iter()
        .map(|kind| kind.name().to_owned())
        .collect();

    let mut transaction = work.begin().await?;
    let service = sqlx::query_as!(
        Service,
        r#"INSERT INTO appointments.service
               (id, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
                notice_minutes, horizon_days, capacity, resource_kinds, reminder_minutes)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
           RETURNING id, version, code, name, duration_minutes, buffer_after_minutes, grid_minutes,
                  notice_minutes, horizon_days, capacity,
                  resource_kinds AS "resource_kinds: Vec<ResourceKind>", reminder_minutes, created_at"#,
        Uuid::now_v7(),
        details.code,
        details.name.as_str(),
        details.duration,
        details.buffer_after,
        details.grid,
        details.notice,
        details.horizon,
        details.capacity,
        &kinds,
        &details.reminders,
    )
    .fetch_one(&mut *transaction)
    .await
    .on_constraint("service_code_unique", || {
        Problem::conflict("code", "Another service has this code")
    })?;
    let id = service.id;
    let resource = Resource {
        kind: ResourceType::Service,
        id,
    };
    trail
        .succeeded(&mut *transaction, Subject::Resource(resource))
        .await?;
    let at = [(header::LOCATION, format!("services/{id}"))];
    let answer = (StatusCode::CREATED, at, Json(service));
    Ok(transaction.commit(id, answer).await?)
}

impl ServiceInput {
    fn parse(self) -> Result<ServiceDetails, Problem> {
        let mut errors = InputErrors::default();
        let code = errors.field("code", code(self.code));
        let name = errors.field("name", text::name(&self.name));
        let duration = errors.field("durationMinutes", number(self.duration_minutes, 1..=DAY));
        let grid = self.grid_minutes.unwrap_or(self.duration_minutes);
        let grid = errors.field("gridMinutes", number(grid, 1..=DAY));
        let buffer_after = number(self.buffer_after_minutes, 0..=DAY);
        let buffer_after = errors.field("bufferAfterMinutes", buffer_after);
        let notice = errors.field("noticeMinutes", number(self.notice_minutes, 0..=365 * DAY));
        let horizon = number(self.horizon_days.unwrap_or(HORIZON_DAYS), 1..=1830);
        let horizon = errors.field("horizonDays", horizon);
        let capacity = errors.field("capacity", number(self.capacity.unwrap_or(1), 1..=100));
        let kinds = self
            .resource_kinds
            .unwrap_or_else(|| vec![ResourceKind::Clinician]);
        let kinds = errors.field("resourceKinds", distinct_kinds(kinds));
        let reminders = self.reminder_minutes.unwrap_or_else(|| REMINDERS.to_vec());
        let reminders = errors.field("reminderMinutes", distinct_reminders(reminders));
        let details = (|| {
            Some(ServiceDetails {
                code: code?,
                name: name?,
                duration: duration?,
                buffer_after: buffer_after?,
                grid: grid?,
                notice: notice?,
                horizon: horizon?,
                capacity: capacity?,
                kinds: kinds?,
                reminders: reminders?,
            })
        })();
        details.ok_or_else(|| errors.into_problem())
    }
}

fn code(text: String) -> Result<String, InvalidService> {
    let first = |byte: &u8| byte.is_ascii_alphanumeric();
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let valid =
        text.len() <= 32 && text.as_bytes().first().is_some_and(first) && text.bytes().all(rest);
    valid.then_some(text).ok_or(InvalidService::Code)
}

fn number(number: i32, allowed: RangeInclusive<i32>) -> Result<i32, InvalidService> {
    let (least, most) = (*allowed.start(), *allowed.end());
    if allowed.contains(&number) {
        return Ok(number);
    }
    Err(InvalidService::Number(least, most))
}

fn distinct_kinds(kinds: Vec<ResourceKind>) -> Result<Vec<ResourceKind>, InvalidService> {
    let mut sorted = kinds.clone();
    sorted.sort_unstable();
    sorted.dedup();
    let distinct = sorted.len() == kinds.len() && !kinds.is_empty();
    distinct.then_some(kinds).ok_or(InvalidService::Kinds)
}

fn distinct_reminders(mut minutes: Vec<i32>) -> Result<Vec<i32>, InvalidService> {
    let given = minutes.len();
    minutes.sort_unstable_by(|one, other| other.cmp(one));
    minutes.dedup();
    let valid = given == minutes.len()
        && given <= MOST_REMINDERS
        && minutes
            .iter()
            .all(|minutes| (1..=EARLIEST_REMINDER).contains(minutes));
    valid.then_some(minutes).ok_or(InvalidService::Reminders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_what_an_invoice_can_carry() {
        for text in ["A", "consult-30", "99213", "X.1_b"] {
            assert_eq!(code(text.to_owned()).as_deref(), Ok(text));
        }
        for text in ["", "-A", "A B", "Ä", &"A".repeat(33)] {
            assert_eq!(code(text.to_owned()), Err(InvalidService::Code), "{text}");
        }
    }

    #[test]
    fn reminders_are_distinct_and_sorted() {
        assert_eq!(distinct_reminders(vec![120, 2880]), Ok(vec![2880, 120]));
        assert_eq!(distinct_reminders(vec![]), Ok(vec![]));
        for wrong in [vec![60, 60], vec![0], vec![40_321], vec![1, 2, 3, 4, 5, 6]] {
            assert_eq!(distinct_reminders(wrong), Err(InvalidService::Reminders));
        }
    }

    #[test]
    fn a_kind_is_needed_once() {
        use ResourceKind::{Clinician, Room};
        assert_eq!(
            distinct_kinds(vec![Room, Clinician]),
            Ok(vec![Room, Clinician])
        );
        assert!(distinct_kinds(vec![]).is_err() && distinct_kinds(vec![Room, Room]).is_err());
    }
}

//! `POST /api/resources/{id}/absences`: records that somebody or something is absent.

use api::{
    DayOrTime, Input, InputErrors, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Resource, ResourceType, Trail};
use axum::{Json, Router, response::IntoResponse as _, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use fields::Line;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    changing::{Changed, shown},
    resource, text,
};
use crate::{booking::appointment::Appointment, clock, outbox::Delivery, period::Period};

/// The longest absence: whoever is away for longer has other hours.
const LONGEST: TimeDelta = TimeDelta::days(731);

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::post("/api/resources/{id}/absences")
        .function("record-absence")
        .requires(Permission::RecordAbsences)
        .records(Action::RecordAbsence)
        .about(About::ResourceInPath(ResourceType::Resource));

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(record_absence, (database.clone(), delivery), database)
}

/// A new absence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "from": "2027-03-29T00:00:00Z", "to": "2027-03-30T00:00:00Z", "reason": "Training", "preview": true
}))]
pub(crate) struct AbsenceInput {
    /// When it begins.
    #[schema(value_type = DateTime<Utc>)]
    from: DayOrTime,
    /// When it ends, at most two years later.
    #[schema(value_type = DateTime<Utc>)]
    to: DayOrTime,
    /// Why, 1 to 200 characters. Patients do not read it.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
    /// Whether only to show which appointments it touches.
    #[serde(default)]
    preview: bool,
}

/// An absence, and what it does to what is booked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Absence {
    /// Identifies the absence; null in a preview.
    #[schema(required)]
    id: Option<Uuid>,
    resource_id: Uuid,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    reason: String,
    /// Whether nothing has been changed.
    preview: bool,
    /// The appointments that it touches: they stay booked, and are marked as orphaned.
    appointments: Vec<Appointment>,
}

/// Record an absence
///
/// Nothing can be booked with the resource in that time. With `preview`, nothing is changed: the
/// response shows which appointments the absence would touch. An absence that is recorded again, in
/// the same words, is still one.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "schedules",
    params(("id" = Uuid, Path, description = "The resource's id")),
    request_body = AbsenceInput,
    responses(
        (status = 200, description = "What the absence would do", body = Absence),
        (status = 201, description = "The absence is recorded", body = Absence),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_absence(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    trail: Trail,
    Input(input): Input<AbsenceInput>,
) -> Result<Response, Problem> {
    let (period, reason) = input.parse()?;
    let mut transaction = Transaction::begin(&database).await?;
    resource::lock_to_change(&mut transaction, id).await?;
    let absence = match known(&mut transaction, id, period, &reason).await? {
        Some(absence) => absence,
        None => insert(&mut transaction, id, period, &reason).await?,
    };
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
        reason: Some(reason.as_str()),
        preview: input.preview,
    };
    let mut orphaned = changed.end(transaction, clock::now()).await?;
    orphaned.retain(|one| Period::new(one.starts_at, one.ends_at).overlaps(period));
    let status = if input.preview {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let absence = Absence {
        id: (!input.preview).then_some(absence),
        resource_id: id,
        from: period.start,
        to: period.end,
        reason: reason.as_str().to_owned(),
        preview: input.preview,
        appointments: shown(orphaned),
    };
    Ok((status, Json(absence)).into_response())
}

/// An absence that was recorded in the same words. Whoever got no response repeats the request, and
/// the resource is not absent twice.
async fn known(
    transaction: &mut Transaction,
    resource: Uuid,
    period: Period,
    reason: &Line,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM appointments.absence
         WHERE resource_id = $1 AND starts_at = $2 AND ends_at = $3 AND reason = $4
         LIMIT 1",
        resource,
        period.start,
        period.end,
        reason.as_str(),
    )
    .fetch_optional(transaction)
    .await
}

async fn insert(
    transaction: &mut Transaction,
    resource: Uuid,
    period: Period,
    reason: &Line,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        "INSERT INTO appointments.absence (id, resource_id, starts_at, ends_at, reason)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id",
        Uuid::now_v7(),
        resource,
        period.start,
        period.end,
        reason.as_str(),
    )
    .fetch_one(transaction)
    .await
}

impl AbsenceInput {
    fn parse(&self) -> Result<(Period, Line), Problem> {
        let mut errors = InputErrors::default();
        let time = |time: DayOrTime| match time {
            DayOrTime::Time(time) => Ok(time),
            DayOrTime::Day(_) => Err("Must be a time such as 2026-05-31T09:30:00Z"),
        };
        let from = errors.field("from", time(self.from));
        let to = errors.field("to", time(self.to));
        let period = from.zip(to).map(|(from, to)| Period::new(from, to));
        let period = period.and_then(|period| {
            let long = period.end - period.start;
            let possible = long > TimeDelta::zero() && long <= LONGEST;
            let refusal = "Must be after from, and at most two years later";
            errors.field("to", possible.then_some(period).ok_or(refusal))
        });
        let reason = errors.field("reason", text::reason(&self.reason));
        period.zip(reason).ok_or_else(|| errors.into_problem())
    }
}

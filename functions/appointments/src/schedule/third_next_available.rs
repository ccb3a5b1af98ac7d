//! `GET /api/availability/third-next`: how long one waits for a service.
//!
//! The third free slot says more about that than the first, which may be one that somebody has just
//! given back.

use api::{
    Id, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    calendar::Calendar,
    find_availability::{FreeSlot, free_slots, usable},
    service,
};

/// How far ahead one looks: as far as with one search for slots.
const AHEAD: TimeDelta = TimeDelta::days(31);

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> =
    Route::get("/api/availability/third-next")
        .function("third-next-available")
        .requires(Permission::ReadSchedules)
        .refusals_are(Action::ReadSchedule);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(third_next_available, database)
}

/// Which service, and with whom.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The service.
    #[param(value_type = Uuid)]
    service_id: Id,
    /// Only slots with this resource. Without it, slots are with whoever is free.
    #[param(value_type = Option<Uuid>)]
    resource_id: Option<Id>,
}

/// The third free slot from now on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ThirdNextAvailable {
    /// The service.
    service_id: Uuid,
    /// The slot; null if there are not three in the next 31 days.
    #[schema(required)]
    third_next: Option<FreeSlot>,
    /// How many days it is away on the calendar of its location: 0 if it is today. Null if there is
    /// none.
    #[schema(required, minimum = 0, maximum = 31)]
    days: Option<i64>,
}

/// Find the third next free slot
///
/// How long one waits for a service: the days until the third of the free slots that can be booked in
/// the next 31 days. Slots at the same time count once at each location.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    params(Wanted),
    responses(
        (status = 200, description = "The slot, and how many days away it is", body = ThirdNextAvailable),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such service or resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn third_next_available(
    State(database): State<PgPool>,
    QueryInput(wanted): QueryInput<Wanted>,
) -> Result<Json<ThirdNextAvailable>, Problem> {
    let Id(service_id) = wanted.service_id;
    let only = wanted.resource_id.map(|Id(id)| id);
    let now = Utc::now();
    let days = days(now);

    let mut transaction = Transaction::begin(&database).await?;
    let service = service::find(&mut transaction, service_id)
        .await?
        .ok_or_else(|| Problem::not_found("Service not found"))?;
    let resources = usable(&mut transaction, &service, None, only).await?;
    let calendar = Calendar::read(&mut transaction, &resources, days, now).await?;
    transaction.rollback().await?;

    // The third is among the first three of some day.
    let most = (usize::MAX, 3);
    let slots = free_slots(
        &service,
        &resources,
        only.as_slice(),
        &calendar,
        days,
        now,
        most,
    );
    let third_next = slots
        .into_iter()
        .filter(|slot| (now..now + AHEAD).contains(&slot.start()))
        .nth(2);
    Ok(Json(ThirdNextAvailable {
        service_id,
        days: third_next.as_ref().map(|slot| slot.days_from(now)),
        third_next,
    }))
}

/// The days that it is during this time anywhere on earth.
fn days(now: DateTime<Utc>) -> (NaiveDate, NaiveDate) {
    let one = Days::new(1);
    (now.date_naive() - one, (now + AHEAD).date_naive() + one)
}

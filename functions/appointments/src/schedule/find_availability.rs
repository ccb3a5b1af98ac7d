//! `GET /api/availability`: when a service can be had.

use api::{
    Id, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::{DateTime, NaiveDate, Utc};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use zones::Zone;

use super::{
    calendar::{Bookable, Calendar},
    service::{self, Service},
    slots::{Candidates, slots},
};
use crate::{booking::resources, clock::LocalTime};

/// The longest period that can be asked for, in days.
const MOST_DAYS: i64 = 31;

/// The most slots in one response: far below the 6 MB that Lambda allows.
const MOST_SLOTS: usize = 10_000;

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/availability")
    .function("find-availability")
    .requires(Permission::ReadSchedules)
    .refusals_are(Action::ReadSchedule);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(find_availability, database)
}

/// Which service, when, and with whom.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Wish {
    /// The service.
    #[param(value_type = Uuid)]
    service_id: Id,
    /// The first date, at the location.
    #[param(value_type = NaiveDate)]
    from: String,
    /// The last date, at most 30 days later.
    #[param(value_type = NaiveDate)]
    to: String,
    /// Only slots with this resource. Without it, slots are with whoever is free.
    #[param(value_type = Option<Uuid>)]
    resource_id: Option<Id>,
    /// Only slots at this location.
    #[param(value_type = Option<Uuid>)]
    location_id: Option<Id>,
}

/// When a service can be had.
#[derive(Serialize, ToSchema)]
pub(crate) struct Availability {
    slots: Vec<FreeSlot>,
}

/// A time at which a patient can come.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Slot", as = Slot, example = json!({
    "start": "2026-03-29T12:00:00Z",
    "end": "2026-03-29T12:30:00Z",
    "localStart": "2026-03-29T13:00:00+01:00",
    "timeZone": "Europe/London",
    "locationId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "resourceIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa"]
}))]
pub(crate) struct FreeSlot {
    /// When it starts, in UTC.
    start: DateTime<Utc>,
    /// When it ends, in UTC.
    end: DateTime<Utc>,
    /// When it starts on the clock of the location, with its offset from UTC.
    #[schema(value_type = DateTime<Utc>)]
    local_start: LocalTime,
    /// The IANA name of the location's time zone.
    time_zone: &'static str,
    /// The location.
    location_id: Uuid,
    /// What to book it with: one resource of each kind that the service needs.
    resource_ids: Vec<Uuid>,
}

impl FreeSlot {
    /// When it starts.
    pub(crate) const fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// On which date that is, at its location.
    pub(crate) fn date(&self) -> NaiveDate {
        self.local_start.date()
    }

    /// How many days it is from now, on the calendar of its location.
    pub(crate) fn days_from(&self, now: DateTime<Utc>) -> i64 {
        let zone = Zone::named(self.time_zone).unwrap_or_else(|_| Zone::utc());
        (zone.date(self.start) - zone.date(now)).num_days()
    }
}

/// Find free slots
///
/// Slots are computed from hours, exceptions, closures, absences and what is booked. Dates are those
/// of the location. Days in the past show what they had to offer; from today on, only what can still
/// be booked is shown.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "schedules",
    params(Wish),
    responses(
        (status = 200, description = "The free slots, in the order of time", body = Availability),
        (status = 400, description = "A parameter is invalid, or the period is longer than 31 days", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such service or resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn find_availability(
    State(database): State<PgPool>,
    QueryInput(wish): QueryInput<Wish>,
) -> Result<Json<Availability>, Problem> {
    let days = wish.days()?;
    let Id(service) = wish.service_id;
    let now = Utc::now();

    let mut transaction = Transaction::begin(&database).await?;
    let service = service::find(&mut transaction, service)
        .await?
        .ok_or_else(|| Problem::not_found("Service not found"))?;
    let location = wish.location_id.map(|Id(id)| id);
    let resources = usable(&mut transaction, &service, location, wish.only()).await?;
    let calendar = Calendar::read(&mut transaction, &resources, days, now).await?;
    transaction.rollback().await?;

    let most = (MOST_SLOTS + 1, MOST_SLOTS);
    let only = wish.only();
    let slots = free_slots(
        &service,
        &resources,
        only.as_slice(),
        &calendar,
        days,
        now,
        most,
    );
    if slots.len() > MOST_SLOTS {
        let detail = format!("There are more than {MOST_SLOTS} slots: ask for fewer days");
        return Err(Problem::invalid_field("to", detail));
    }
    Ok(Json(Availability { slots }))
}

impl Wish {
    fn days(&self) -> Result<(NaiveDate, NaiveDate), Problem> {
        let mut errors = api::InputErrors::default();
        let from = errors.field("from", api::day(&self.from));
        let to = errors.field("to", api::day(&self.to));
        let (from, to) = from.zip(to).ok_or_else(|| errors.into_problem())?;
        let between = (to - from).num_days();
        if !(0..MOST_DAYS).contains(&between) {
            let detail = format!("Must be from 0 to {} days after from", MOST_DAYS - 1);
            return Err(Problem::invalid_field("to", detail));
        }
        Ok((from, to))
    }

    fn only(&self) -> Option<Uuid> {
        self.resource_id.map(|Id(id)| id)
    }
}

/// Everything that the service could use, at this location or anywhere; with this resource, and what of
/// other kinds is where it is.
///
/// # Errors
/// 404 if the service could not use that resource.
pub(crate) async fn usable(
    transaction: &mut Transaction,
    service: &Service,
    location: Option<Uuid>,
    only: Option<Uuid>,
) -> Result<Vec<Bookable>, Problem> {
    let resources = resources::of_kinds(transaction, &service.resource_kinds, location).await?;
    let Some(only) = only else {
        return Ok(resources);
    };
    let only = resources.iter().find(|resource| resource.id == only);
    let only = only.ok_or_else(|| Problem::not_found("The service needs no such resource"))?;
    let (id, kind, location) = (only.id, only.kind, only.location);
    let fits = |resource: &Bookable| {
        resource.location == location && (resource.kind != kind || resource.id == id)
    };
    Ok(resources.into_iter().filter(fits).collect())
}

/// The free slots of a service at each location, in the order of time: at most `in_all` at each
/// location, and `a_day` on each of its days.
pub(crate) fn free_slots(
    service: &Service,
    resources: &[Bookable],
    only: &[Uuid],
    calendar: &Calendar,
    days: (NaiveDate, NaiveDate),
    now: DateTime<Utc>,
    (in_all, a_day): (usize, usize),
) -> Vec<FreeSlot> {
    let mut free = Vec::new();
    for (location, zone) in resources::locations(resources) {
        let candidates = Candidates::at(location, &service.resource_kinds, resources, only);
        let slots = slots(service, &candidates, calendar, days, now, a_day).take(in_all);
        free.extend(slots.map(|slot| FreeSlot {
            start: slot.period.start,
            end: slot.period.end,
            local_start: LocalTime::at(slot.period.start, zone),
            time_zone: zone.name(),
            location_id: location,
            resource_ids: slot.resources,
        }));
        if free.len() > MOST_SLOTS {
            break;
        }
    }
    free.sort_by_key(|slot| slot.start);
    free
}

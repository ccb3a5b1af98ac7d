//! `POST /api/appointment-series`: books the same time every week, all of them or none.

use api::{
    Id, Input, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Resource, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, Utc};
use events::AppointmentChange;
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;
use zones::{Instants, Zone};

use super::{
    appointment::{Appointment, By, Change, Details, Stored},
    plan::{Plan, Wanted, Wish},
    resources,
    start::{Start, nonexistent},
    status::Status,
};
use crate::{
    clock,
    outbox::Delivery,
    patient,
    schedule::{
        calendar::{Bookable, Calendar},
        service,
    },
    schema::SCHEMA,
    stored_answer::begin,
    waitlist,
};

/// The most appointments in a series: a year of weeks.
const MOST: u32 = 52;

/// The most weeks between two appointments.
const MOST_WEEKS: u32 = 8;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointment-series")
    .function("book-series")
    .requires(Permission::ManageAppointments)
    .records(Action::BookAppointment)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(book_series, (database.clone(), delivery), database)
}

/// A series to book.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "serviceId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad",
    "resourceIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ae"],
    "start": "2027-03-22T09:00:00Z",
    "occurrences": 3
}))]
pub(crate) struct Series {
    /// The patient.
    #[schema(value_type = Uuid)]
    patient_id: Id,
    /// What it is for.
    #[schema(value_type = Uuid)]
    service_id: Id,
    /// What to book it with: the same every time. Of each kind of resource that the service needs
    /// and that is not named here, any that is free each time.
    #[serde(default)]
    #[schema(value_type = Vec<Uuid>, max_items = 3)]
    resource_ids: Vec<Id>,
    /// Where, if no resource is named.
    #[schema(value_type = Option<Uuid>)]
    location_id: Option<Id>,
    /// When the first one starts. The others start at the same time on the clock of the location.
    #[schema(value_type = Start)]
    start: Start,
    /// How many there are, 2 to 52.
    #[schema(minimum = 2, maximum = 52)]
    occurrences: u32,
    /// How many weeks there are from one to the next, 1 to 8.
    #[schema(minimum = 1, maximum = 8, default = 1)]
    interval_weeks: Option<u32>,
}

/// A series that is booked.
#[derive(Serialize, ToSchema)]
#[schema(title = "AppointmentSeries", as = AppointmentSeries)]
pub(crate) struct Booked {
    /// Identifies the series: `seriesId` of its appointments.
    id: Uuid,
    /// Its appointments, in order.
    appointments: Vec<Appointment>,
}

/// Book a weekly series
///
/// All of its appointments are booked, or none. They start at the same time on the clock of the
/// location, whatever the clocks do in between.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(IdempotencyKey),
    request_body = Series,
    responses(
        (status = 201, description = "All are booked", body = Booked),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not book, or not for this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient or service", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "Some slots are not free: `conflicts` says which and why; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The service is not offered at one of these times, or the clocks skip it", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn book_series(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    trail: Trail,
    work: UnitOfWork,
    Input(series): Input<Series>,
) -> Result<Response, Interrupted> {
    let now = clock::now();
    let Id(patient) = series.patient_id;
    trail.about(Subject::Patient(patient));
    series.must_be_bounded()?;

    let mut transaction = begin(work, caller, &database, &trail).await?;
    patient::must_be_seen(caller, patient, &mut transaction).await?;
    let id = Uuid::now_v7();
    let appointments = series.book(&mut transaction, caller, id, now).await?;
    for stored in &appointments {
        let appointment = Resource::appointment(stored.id);
        let subject = Subject::ResourceOfPatient(appointment, patient);
        trail.succeeded(&mut *transaction, subject).await?;
    }
    let appointments = appointments.into_iter().map(Appointment::from).collect();
    let answer = (StatusCode::CREATED, Json(Booked { id, appointments }));
    let (answer, next) = transaction.commit_and_begin(patient, answer).await?;

    delivery.deliver_next(&database, next, patient).await;
    Ok(answer)
}

impl Series {
    fn must_be_bounded(&self) -> Result<(), Problem> {
        if !(2..=MOST).contains(&self.occurrences) {
            let detail = format!("Must be a number from 2 to {MOST}");
            return Err(Problem::invalid_field("occurrences", detail));
        }
        if !(1..=MOST_WEEKS).contains(&self.weeks()) {
            let detail = format!("Must be a number from 1 to {MOST_WEEKS}");
            return Err(Problem::invalid_field("intervalWeeks", detail));
        }
        Ok(())
    }

    fn weeks(&self) -> u32 {
        self.interval_weeks.unwrap_or(1)
    }

    async fn book(
        &self,
        transaction: &mut Transaction,
        caller: Caller,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Vec<Stored>, Problem> {
        let (Id(patient), Id(service)) = (self.patient_id, self.service_id);
        let service = service::find(&mut *transaction, service)
            .await?
            .ok_or_else(|| Problem::not_found("Service not found"))?;
        let asked_for: Vec<Uuid> = self.resource_ids.iter().map(|Id(id)| *id).collect();
        let wanted = Wanted {
            service: &service,
            asked_for: &asked_for,
            regardless: false,
            at_any_time: false,
            except: None,
        };
        let wish = Wish {
            patient,
            location: self.location_id.map(|Id(id)| id),
            days: self.days(),
            now,
        };
        let decide = |resources: &[Bookable], calendar: &Calendar| {
            self.plans(&wanted, resources, calendar, now)
        };
        let starts = |zone: &Zone| self.starts(zone).unwrap_or_default();
        let plans = wanted.settle(transaction, wish, starts, decide).await?;
        let mut booked = Vec::with_capacity(plans.len());
        for plan in &plans {
            let appointment = Uuid::now_v7();
            let stored = Stored {
                series_id: Some(id),
                ..Stored::planned(appointment, patient, service.id, Status::Booked, plan, now)
            };
            let by = By::user(caller);
            stored.insert(transaction, plan, Change::Booked, by).await?;
            waitlist::fulfil(transaction, &stored).await?;
            let details = Details::of(&service, plan);
            stored
                .announce_with(transaction, AppointmentChange::Booked, details)
                .await?;
            booked.push(stored);
        }
        Ok(booked)
    }

    /// The days that they are on, or next to.
    fn days(&self) -> (NaiveDate, NaiveDate) {
        let first = self.start.some_day();
        let days = u64::from((self.occurrences - 1) * self.weeks()) * 7;
        (first, first + Days::new(days))
    }

    /// What each of them would take up.
    fn plans(
        &self,
        wanted: &Wanted<'_>,
        resources: &[Bookable],
        calendar: &Calendar,
        now: DateTime<Utc>,
    ) -> Result<Vec<Plan>, Problem> {
        let [(_, zone)] = &resources::locations(resources)[..] else {
            let detail = "Name the location, or a resource, of the series";
            return Err(Problem::invalid_field("locationId", detail));
        };
        let (mut plans, mut conflicts) = (Vec::new(), Vec::new());
        for start in self.starts(zone)? {
            let start = Start::Instant(start.fixed_offset());
            match wanted.plan(start, resources, calendar, now) {
                Ok(plan) => plans.push(plan),
                Err(problem) if problem.conflicts().is_empty() => return Err(problem),
                Err(problem) => conflicts.extend(problem.conflicts().iter().cloned()),
            }
        }
        if conflicts.is_empty() {
            return Ok(plans);
        }
        Err(Problem::slot_taken(conflicts))
    }

    /// The same time on the clock every so many weeks. Where the clocks show it twice, the first.
    fn starts(&self, zone: &Zone) -> Result<Vec<DateTime<Utc>>, Problem> {
        let first = self.start.instant(zone)?;
        let wall: NaiveDateTime = zone.local(first).naive_local();
        let mut starts = vec![first];
        for occurrence in 1..self.occurrences {
            let days = u64::from(occurrence * self.weeks()) * 7;
            let wall = wall + Days::new(days);
            match zone.instants(wall) {
                Instants::Once(start) | Instants::Twice(start, _) => starts.push(start),
                Instants::Never(_) => return Err(nonexistent(wall, zone)),
            }
        }
        Ok(starts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(zone: &str, start: &str, occurrences: u32) -> Result<Vec<String>, &'static str> {
        let series: Series = serde_json::from_value(serde_json::json!({
            "patientId": Uuid::nil(), "serviceId": Uuid::nil(), "start": start,
            "occurrences": occurrences,
        }))
        .unwrap();
        let starts = series.starts(&Zone::named(zone).unwrap());
        let starts = starts.map_err(|problem| problem.kind().name())?;
        Ok(starts
            .iter()
            .map(|start| start.format("%m-%d %H:%MZ").to_string())
            .collect())
    }

    #[test]
    fn a_series_stays_at_the_same_time_on_the_clock() {
        let london = starts("Europe/London", "2026-10-19T08:00:00Z", 3).unwrap();
        assert_eq!(london, ["10-19 08:00Z", "10-26 09:00Z", "11-02 09:00Z"]);
        let night = starts("America/New_York", "2026-10-25T01:30:00", 2).unwrap();
        assert_eq!(night, ["10-25 05:30Z", "11-01 05:30Z"], "the first of two");
        let skipped = starts("America/New_York", "2027-03-07T02:30:00", 2);
        assert_eq!(skipped, Err("nonexistent-local-time"));
    }
}

//! `POST /api/appointments`: books a slot for a patient, or holds it for a few minutes.

use api::{
    Id, Input, Problem, ProblemDocument, ProblemType, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Resource, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use events::AppointmentChange;
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;
use zones::Zone;

use super::{
    appointment::{Appointment, By, Change, Details, Stored},
    plan::{Plan, Wanted, Wish},
    start::Start,
    status::Status,
};
use crate::{
    clock,
    outbox::Delivery,
    patient,
    schedule::{
        calendar::{Bookable, Calendar},
        service, text,
    },
    schema::SCHEMA,
    stored_answer::begin,
    waitlist,
};

/// How long a slot is held.
const HOLD: TimeDelta = TimeDelta::minutes(5);

/// How long ago somebody may have walked in.
const WALKED_IN: TimeDelta = TimeDelta::hours(12);

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments")
    .function("book-appointment")
    .requires(Permission::ManageAppointments)
    .records(Action::BookAppointment)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(book_appointment, (database.clone(), delivery), database)
}

/// What to book.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "serviceId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad",
    "resourceIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ae"],
    "start": "2027-03-29T12:00:00Z",
    "hold": false
}))]
pub(crate) struct Booking {
    /// The patient.
    #[schema(value_type = Uuid)]
    patient_id: Id,
    /// What it is for.
    #[schema(value_type = Uuid)]
    service_id: Id,
    /// What to book it with. Of each kind of resource that the service needs and that is not named
    /// here, any that is free.
    #[serde(default)]
    #[schema(value_type = Vec<Uuid>, max_items = 3)]
    resource_ids: Vec<Id>,
    /// Where, if no resource is named.
    #[schema(value_type = Option<Uuid>)]
    location_id: Option<Id>,
    /// When it starts. Whoever walks in has done so now, or at this time in the last 12 hours.
    #[schema(value_type = Start)]
    start: Option<Start>,
    /// Whether to hold the slot for five minutes instead of booking it.
    #[serde(default)]
    hold: bool,
    /// Whether the patient is there without an appointment. Then it starts as `ARRIVED`.
    #[serde(default)]
    walk_in: bool,
    /// Books the slot although it is not free, for this reason of up to 200 characters.
    #[schema(max_length = 200)]
    overbooking_reason: Option<String>,
}

/// What somebody wants, and what they may.
struct Request {
    patient: Uuid,
    service: Uuid,
    resources: Vec<Uuid>,
    location: Option<Uuid>,
    start: Start,
    status: Status,
    walk_in: bool,
    overbooking: Option<String>,
}

/// Book an appointment
///
/// Of all who want a slot, one gets it; the others learn of everything that stands in the way. The
/// time has to be one that the service is offered at: see `GET /api/availability`.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(IdempotencyKey),
    request_body = Booking,
    responses(
        (status = 201, description = "It is booked, or held", body = Appointment,
         headers(("ETag" = String, description = "The version, for If-Match"),
                 ("Location" = String, description = "Where the appointment is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not book, or not what is not free, or not for this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient or service", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The slot is not free: `conflicts` says why; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The service is not offered at such a time, or the clocks skip it or show it twice", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn book_appointment(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<Booking>,
) -> Result<Response, Interrupted> {
    let now = clock::now();
    trail.about(Subject::Patient(input.patient_id.0));
    let request = input.parse(caller, now)?;
    let id = Uuid::now_v7();

    let mut transaction = begin(work, caller, &database, &trail).await?;
    patient::must_be_seen(caller, request.patient, &mut transaction).await?;
    let stored = request.book(&mut transaction, caller, id, now).await?;
    let subject = Subject::ResourceOfPatient(Resource::appointment(id), request.patient);
    trail.succeeded(&mut *transaction, subject).await?;
    let location = [(header::LOCATION, format!("appointments/{id}"))];
    let appointment = Appointment::from(stored);
    let entity_tag = appointment.entity_tag();
    let answer = (StatusCode::CREATED, location, entity_tag, Json(appointment));
    let (answer, next) = transaction
        .commit_and_begin(request.patient, answer)
        .await?;

    delivery
        .deliver_next(&database, next, request.patient)
        .await;
    Ok(answer)
}

impl Booking {
    fn parse(self, caller: Caller, now: DateTime<Utc>) -> Result<Request, Problem> {
        let overbooking = self
            .overbooking_reason
            .as_deref()
            .map(text::reason)
            .transpose();
        let overbooking = overbooking
            .map_err(|error| Problem::invalid_field("overbookingReason", error.to_string()))?;
        if overbooking.is_some() {
            caller.must(Permission::Overbook)?;
        }
        if self.hold && self.walk_in {
            let detail = "Whoever is there needs no slot to be held";
            return Err(Problem::invalid_field("hold", detail));
        }
        let start = match (self.start, self.walk_in) {
            (Some(start), _) => start,
            (None, true) => {
                let minute = now.with_second(0).and_then(|now| now.with_nanosecond(0));
                Start::Instant(minute.unwrap_or(now).fixed_offset())
            }
            (None, false) => return Err(Problem::invalid_field("start", "The start is required")),
        };
        Ok(Request {
            patient: self.patient_id.0,
            service: self.service_id.0,
            resources: self.resource_ids.into_iter().map(|Id(id)| id).collect(),
            location: self.location_id.map(|Id(id)| id),
            start,
            status: match (self.hold, self.walk_in) {
                (true, _) => Status::Pending,
                (_, true) => Status::Arrived,
                _ => Status::Booked,
            },
            walk_in: self.walk_in,
            overbooking: overbooking.map(|reason| reason.as_str().to_owned()),
        })
    }
}

impl Request {
    /// Books it.
    async fn book(
        &self,
        transaction: &mut Transaction,
        caller: Caller,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Stored, Problem> {
        let service = service::find(&mut *transaction, self.service)
            .await?
            .ok_or_else(|| Problem::not_found("Service not found"))?;
        let wanted = Wanted {
            service: &service,
            asked_for: &self.resources,
            regardless: self.overbooking.is_some(),
            at_any_time: self.walk_in,
            except: None,
        };
        let day = self.start.some_day();
        let wish = Wish {
            patient: self.patient,
            location: self.location,
            days: (day, day),
            now,
        };
        let decide = |resources: &[Bookable], calendar: &Calendar| {
            let plan = wanted.plan(self.start, resources, calendar, now)?;
            self.must_have_walked_in(&plan, now)?;
            Ok(vec![plan])
        };
        let starts = |zone: &Zone| self.start.instant(zone).into_iter().collect();
        let plans = wanted.settle(transaction, wish, starts, decide).await?;
        let plan = plans
            .into_iter()
            .next()
            .ok_or_else(|| Problem::internal("no plan"))?;
        let stored = self.appointment(id, caller, &service, &plan, now);
        let by = By {
            actor: Some(caller.user),
            reason: self.overbooking.as_deref(),
        };
        stored.insert(transaction, &plan, self.change(), by).await?;
        let change = match self.status {
            // Nobody hears of holds.
            Status::Pending => return Ok(stored),
            Status::Arrived => AppointmentChange::Arrived {
                walk_in: true,
                corrected: false,
            },
            _ => AppointmentChange::Booked,
        };
        waitlist::fulfil(transaction, &stored).await?;
        let details = Details::of(&service, &plan);
        stored.announce_with(transaction, change, details).await?;
        Ok(stored)
    }

    const fn change(&self) -> Change {
        match self.status {
            Status::Pending => Change::Held,
            Status::Arrived => Change::WalkedIn,
            _ => Change::Booked,
        }
    }

    fn must_have_walked_in(&self, plan: &Plan, now: DateTime<Utc>) -> Result<(), Problem> {
        let start = plan.period.start;
        if !self.walk_in || (start <= now && now - start <= WALKED_IN) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemType::NotBookable,
            "Whoever walks in has done so in the last 12 hours",
        ))
    }

    fn appointment(
        &self,
        id: Uuid,
        caller: Caller,
        service: &service::Service,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Stored {
        Stored {
            overbooked_by: self.overbooking.is_some().then_some(caller.user),
            overbook_reason: self.overbooking.clone(),
            walk_in: self.walk_in,
            hold_expires_at: (self.status == Status::Pending).then_some(now + HOLD),
            ..Stored::planned(id, self.patient, service.id, self.status, plan, now)
        }
    }
}

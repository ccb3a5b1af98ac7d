//! `POST /api/appointments/{id}/arrive`: records that a patient has come.

use api::{
    IfMatch, OptionalInput, PathId, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Router, response::Response};
use chrono::{DateTime, Utc};
use events::AppointmentChange;
use fields::Line;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use super::{
    appointment::{self, Appointment, By, Change, Stored, not_found},
    changing::Changing,
    occupancy,
    plan::{self, Plan, Wanted, periods_of},
    resources,
    status::Status,
};
use crate::{
    clock,
    outbox::Delivery,
    schedule::{
        calendar::{Bookable, Calendar},
        service, text,
    },
    schema::SCHEMA,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments/{id}/arrive")
    .function("record-arrival")
    .requires(Permission::ManageAppointments)
    .records(Action::RecordArrival)
    .about(About::ResourceInPath(ResourceType::Appointment))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(record_arrival, (database.clone(), delivery), database)
}

/// Why somebody came who had been taken for a no-show.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub(crate) struct Arrival {
    /// The reason for the correction, up to 200 characters. Only a no-show needs one.
    #[schema(max_length = 200)]
    reason: Option<String>,
}

/// Record an arrival
///
/// The patient has come. If they had been taken for a no-show, this corrects it, and needs a reason.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    request_body = Option<Arrival>,
    responses(
        (status = 200, description = "The patient is there", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A correction needs a reason", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient was not expected; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_arrival(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
    OptionalInput(input): OptionalInput<Arrival>,
) -> Result<Response, Interrupted> {
    let now = clock::now();
    let invalid = |error: text::InvalidLine| Problem::invalid_field("reason", error.to_string());
    let reason = input.reason.as_deref().map(text::reason).transpose();
    let reason = reason.map_err(invalid)?;
    let reason = reason.as_ref().map(Line::as_str);
    let changing = Changing {
        caller,
        database,
        delivery,
        trail,
    };
    let mut transaction = changing.open(work).await?;
    // A correction takes up the slot again: the resources are locked before the appointment.
    let resource_ids = appointment::find(&mut *transaction, id)
        .await?
        .ok_or_else(not_found)?
        .resource_ids;
    let locked = resources::lock_these(&mut transaction, &resource_ids).await?;
    let mut stored = changing.lock(&mut transaction, id, &if_match).await?;
    if stored.resource_ids != resource_ids {
        // Somebody has moved it meanwhile, to resources that are not locked.
        return Err(Problem::precondition_failed().into());
    }
    let expected = [Status::Booked, Status::NoShow];
    stored
        .status
        .must_be_one_of(&expected, "record an arrival for")?;
    let corrected = stored.status == Status::NoShow;
    if corrected {
        if reason.is_none() {
            let detail = "A correction needs a reason";
            return Err(Problem::invalid_field("reason", detail).into());
        }
        take_again(&mut transaction, &stored, &locked, now).await?;
    }
    stored.status = Status::Arrived;
    stored.orphaned = false;
    let by = By {
        actor: Some(caller.user),
        reason,
    };
    let change = if corrected {
        Change::ArrivedAfterAll
    } else {
        Change::Arrived
    };
    stored.save(&mut transaction, change, by).await?;
    let change = AppointmentChange::Arrived {
        walk_in: false,
        corrected,
    };
    stored.announce(&mut transaction, change).await?;
    changing.end(transaction, stored).await
}

/// Takes up the slot again, beyond whoever has it now: the patient is there.
async fn take_again(
    transaction: &mut Transaction,
    stored: &Stored,
    locked: &[Bookable],
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    let service = service::find(&mut *transaction, stored.service_id)
        .await?
        .ok_or_else(|| Problem::internal("an appointment without its service"))?;
    let day = stored.local_start.date();
    let calendar = Calendar::read(transaction, locked, (day, day), now).await?;
    let wanted = Wanted {
        service: &service,
        asked_for: &stored.resource_ids,
        regardless: true,
        at_any_time: true,
        except: None,
    };
    let seats = wanted.seats(stored.location_id, stored.starts_at, locked, &calendar);
    let seats = seats.map_err(Problem::slot_taken)?;
    let zone = locked.first().map(|resource| resource.zone.clone());
    let (period, occupied) = periods_of(&service, stored.starts_at);
    let numbers: Vec<i32> = locked.iter().map(|resource| resource.number).collect();
    occupancy::expire_holds(transaction, &numbers, now).await?;
    let plan = Plan {
        clinicians: plan::clinicians(locked, &seats),
        is_attended: !stored.unattended,
        location: stored.location_id,
        zone: zone.ok_or_else(|| Problem::internal("an appointment without resources"))?,
        period,
        occupied,
        seats,
    };
    occupancy::take(transaction, stored.id, service.id, &plan).await
}

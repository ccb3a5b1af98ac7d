//! `POST /api/appointments/{id}/reschedule`: moves an appointment, which stays the same one.

use api::{
    Id, IfMatch, Input, PathId, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Router, response::Response};
use events::AppointmentChange;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;
use zones::Zone;

use super::{
    appointment::{self, Appointment, By, Change, Stored, not_found},
    changing::Changing,
    occupancy,
    plan::{Wanted, Wish},
    start::Start,
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
    waitlist,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> =
    Route::post("/api/appointments/{id}/reschedule")
        .function("reschedule-appointment")
        .requires(Permission::ManageAppointments)
        .records(Action::RescheduleAppointment)
        .about(About::ResourceInPath(ResourceType::Appointment))
        .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(
        reschedule_appointment,
        (database.clone(), delivery),
        database,
    )
}

/// Where to move an appointment.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "start": "2027-03-30T12:00:00Z" }))]
pub(crate) struct Move {
    /// When it starts.
    #[schema(value_type = Start)]
    start: Start,
    /// What it takes up, if that changes. Of each kind of resource that the service needs and that
    /// is not named here, any that is free; an empty list is anything that is free.
    #[schema(value_type = Option<Vec<Uuid>>, max_items = 3)]
    resource_ids: Option<Vec<Id>>,
    /// Moves it although the slot is not free, for this reason of up to 200 characters.
    #[schema(max_length = 200)]
    overbooking_reason: Option<String>,
}

/// Move an appointment
///
/// It keeps its id and its history, and never stands in its own way. The patient is told.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    request_body = Move,
    responses(
        (status = 200, description = "It is where it was to be moved", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not book, or not what is not free, or not for this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The slot is not free: `conflicts` says why; it is not booked; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "The service is not offered at such a time, or the clocks skip it or show it twice", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reschedule_appointment(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<Move>,
) -> Result<Response, Interrupted> {
    let now = clock::now();
    let overbooking = input.overbooking(caller)?;
    let changing = Changing {
        caller,
        database,
        delivery,
        trail,
    };
    let mut transaction = changing.open(work).await?;
    // The patient and the resources are locked before the appointment, as in a booking.
    let before = appointment::find(&mut *transaction, id)
        .await?
        .ok_or_else(not_found)?;
    changing.must_see(&mut transaction, &before).await?;
    if_match.check(before.version)?;
    before.status.must_be_one_of(&[Status::Booked], "move")?;
    let service = service::find(&mut *transaction, before.service_id)
        .await?
        .ok_or_else(|| Problem::internal("an appointment without its service"))?;
    let asked_for = input.asked_for(&before);
    let wanted = Wanted {
        service: &service,
        asked_for: &asked_for,
        regardless: overbooking.is_some(),
        at_any_time: false,
        except: Some(id),
    };
    let day = input.start.some_day();
    let wish = Wish {
        patient: before.patient_id,
        // With nothing else said, it stays where it is.
        location: asked_for.is_empty().then_some(before.location_id),
        days: (day, day),
        now,
    };
    let decide = |resources: &[Bookable], calendar: &Calendar| {
        let plan = wanted.plan(input.start, resources, calendar, now)?;
        Ok(vec![plan])
    };
    let starts = |zone: &Zone| input.start.instant(zone).into_iter().collect();
    let plans = wanted
        .settle(&mut transaction, wish, starts, decide)
        .await?;
    let plan = plans.first().ok_or_else(|| Problem::internal("no plan"))?;
    let mut stored = changing.lock(&mut transaction, id, &if_match).await?;
    stored.status.must_be_one_of(&[Status::Booked], "move")?;
    if stored.version != before.version {
        // Somebody has changed it meanwhile, and it may take up other resources now.
        return Err(Problem::precondition_failed().into());
    }
    if plan.period.start == stored.starts_at && plan.resource_ids() == stored.resource_ids {
        // It is there already, and nobody needs to hear of it; but somebody may have to decide that
        // it stays there.
        if let Some(reason) = overbooking.as_deref().filter(|_| stored.orphaned) {
            stored.orphaned = false;
            stored.unattended = true;
            stored.overbooked_by = Some(caller.user);
            stored.overbook_reason = Some(reason.to_owned());
            let by = By::because(caller, reason);
            stored
                .save(&mut transaction, Change::NoLongerOrphaned, by)
                .await?;
        }
        return changing.end(transaction, stored).await;
    }
    let change = AppointmentChange::Rescheduled {
        started_at: stored.starts_at,
        ended_at: stored.ends_at,
        by_time_zone_rules: false,
        location_id: stored.location_id,
    };
    stored.move_to(plan);
    stored.overbooked_by = overbooking.is_some().then_some(caller.user);
    stored.overbook_reason.clone_from(&overbooking);
    let by = By {
        actor: Some(caller.user),
        reason: overbooking.as_deref(),
    };
    stored
        .save(&mut transaction, Change::Rescheduled, by)
        .await?;
    occupancy::leave(&mut transaction, id).await?;
    occupancy::take(&mut transaction, id, service.id, plan).await?;
    waitlist::fulfil(&mut transaction, &stored).await?;
    stored.announce(&mut transaction, change).await?;
    changing.end(transaction, stored).await
}

impl Move {
    fn overbooking(&self, caller: Caller) -> Result<Option<String>, Problem> {
        let reason = self.overbooking_reason.as_deref().map(text::reason);
        let reason = reason
            .transpose()
            .map_err(|error| Problem::invalid_field("overbookingReason", error.to_string()))?;
        if reason.is_some() {
            caller.must(Permission::Overbook)?;
        }
        Ok(reason.map(|reason| reason.as_str().to_owned()))
    }

    fn asked_for(&self, before: &Stored) -> Vec<Uuid> {
        match &self.resource_ids {
            Some(ids) => ids.iter().map(|Id(id)| *id).collect(),
            None => before.resource_ids.clone(),
        }
    }
}

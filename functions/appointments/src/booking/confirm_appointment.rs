//! `POST /api/appointments/{id}/confirm`: books what is held.

use api::{
    IfMatch, PathId, Problem, ProblemDocument, ProblemType, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, ResourceType, Trail};
use axum::{Router, response::Response};
use events::AppointmentChange;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use sqlx::PgPool;

use super::{
    appointment::{self, Appointment, By, Change, not_found},
    changing::Changing,
    occupancy,
    status::Status,
};
use crate::{clock, outbox::Delivery, schema::SCHEMA, waitlist};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments/{id}/confirm")
    .function("confirm-appointment")
    .requires(Permission::ManageAppointments)
    .records(Action::ConfirmAppointment)
    .about(About::ResourceInPath(ResourceType::Appointment))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(confirm_appointment, (database.clone(), delivery), database)
}

/// Confirm an appointment
///
/// Books a slot that is held, before the hold expires.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 200, description = "It is booked", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is not held, or the hold has expired; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn confirm_appointment(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
) -> Result<Response, Interrupted> {
    let changing = Changing {
        caller,
        database,
        delivery,
        trail,
    };
    let mut transaction = changing.open(work).await?;
    // Nothing else is booked for the patient while this takes effect.
    let patient = appointment::find(&mut *transaction, id)
        .await?
        .ok_or_else(not_found)?
        .patient_id;
    occupancy::lock_patient(&mut transaction, patient).await?;
    let mut stored = changing.lock(&mut transaction, id, &if_match).await?;
    let now = clock::now();
    let expired = Problem::new(
        ProblemType::HoldExpired,
        "The hold has expired: the slot may be somebody else's",
    );
    let by_the_clock = stored.status == Status::Cancelled && stored.cancelled_by.is_none();
    if by_the_clock || stored.hold_expires_at.is_some_and(|end| end <= now) {
        return Err(expired.into());
    }
    stored
        .status
        .must_be_one_of(&[Status::Pending], "confirm")?;
    if stored.orphaned {
        let detail = "Nobody is there at this time any more: choose another slot";
        return Err(Problem::new(ProblemType::Conflict, detail).into());
    }
    stored.status = Status::Booked;
    stored.hold_expires_at = None;
    let by = By::user(caller);
    stored.save(&mut transaction, Change::Confirmed, by).await?;
    waitlist::fulfil(&mut transaction, &stored).await?;
    stored
        .announce(&mut transaction, AppointmentChange::Booked)
        .await?;
    changing.end(transaction, stored).await
}

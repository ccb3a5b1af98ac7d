//! `POST /api/appointments/{id}/cancel`: cancels an appointment and frees its slot.

use api::{
    IfMatch, Input, PathId, Problem, ProblemDocument, State,
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

use super::{
    appointment::{Appointment, By, Change},
    changing::Changing,
    occupancy,
    status::Status,
};
use crate::{clock, outbox::Delivery, schedule::text, schema::SCHEMA};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments/{id}/cancel")
    .function("cancel-appointment")
    .requires(Permission::ManageAppointments)
    .records(Action::CancelAppointment)
    .about(About::ResourceInPath(ResourceType::Appointment))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(cancel_appointment, (database.clone(), delivery), database)
}

/// Why an appointment is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "The clinician is ill" }))]
pub(crate) struct Cancellation {
    /// The reason, 1 to 200 characters. It is kept on record; the patient does not read it.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Cancel an appointment
///
/// The slot is free again, and the patient is told.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    request_body = Cancellation,
    responses(
        (status = 200, description = "It is cancelled", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "The reason is missing or too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "It is neither held nor booked; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn cancel_appointment(
    caller: Caller,
    State((database, delivery)): State<(PgPool, Delivery)>,
    PathId(id): PathId,
    if_match: IfMatch,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<Cancellation>,
) -> Result<Response, Interrupted> {
    let reason = text::reason(&input.reason)
        .map_err(|error| Problem::invalid_field("reason", error.to_string()))?;
    let reason = reason.as_str();
    let changing = Changing {
        caller,
        database,
        delivery,
        trail,
    };
    let (mut transaction, mut stored) = changing.begin(work, id, &if_match).await?;
    let cancellable = [Status::Pending, Status::Booked];
    stored.status.must_be_one_of(&cancellable, "cancel")?;
    let was_booked = stored.status == Status::Booked;
    let by = By::because(caller, reason);
    stored.cancel(by, reason, clock::now());
    stored.save(&mut transaction, Change::Cancelled, by).await?;
    occupancy::leave(&mut transaction, id).await?;
    // Nobody has been told of a hold.
    if was_booked {
        let change = AppointmentChange::Cancelled { by_patient: false };
        stored.announce(&mut transaction, change).await?;
    }
    changing.end(transaction, stored).await
}

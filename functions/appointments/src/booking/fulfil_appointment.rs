//! `POST /api/appointments/{id}/fulfil`: records that an appointment has taken place.

use api::{
    IfMatch, PathId, ProblemDocument, State,
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
    appointment::{Appointment, By, Change},
    changing::Changing,
    status::Status,
};
use crate::{outbox::Delivery, schema::SCHEMA};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments/{id}/fulfil")
    .function("fulfil-appointment")
    .requires(Permission::ManageAppointments)
    .records(Action::FulfilAppointment)
    .about(About::ResourceInPath(ResourceType::Appointment))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(fulfil_appointment, (database.clone(), delivery), database)
}

/// Fulfil an appointment
///
/// Records that it has taken place, for a patient who has arrived. It is billed from then on.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 200, description = "It has taken place", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient has not arrived; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn fulfil_appointment(
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
    let (mut transaction, mut stored) = changing.begin(work, id, &if_match).await?;
    stored.status.must_be_one_of(&[Status::Arrived], "fulfil")?;
    stored.status = Status::Fulfilled;
    let by = By::user(caller);
    stored.save(&mut transaction, Change::Fulfilled, by).await?;
    stored
        .announce(&mut transaction, AppointmentChange::Fulfilled)
        .await?;
    changing.end(transaction, stored).await
}

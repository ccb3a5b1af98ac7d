//! `POST /api/appointments/{id}/no-show`: records that a patient did not come.

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
    occupancy,
    status::Status,
};
use crate::{outbox::Delivery, schema::SCHEMA};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/appointments/{id}/no-show")
    .function("record-no-show")
    .requires(Permission::ManageAppointments)
    .records(Action::RecordNoShow)
    .about(About::ResourceInPath(ResourceType::Appointment))
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool, delivery: Delivery) -> Router {
    ROUTE.served_by(record_no_show, (database.clone(), delivery), database)
}

/// Record a no-show
///
/// The patient did not come, and the slot is free for somebody else. If they come after all, record
/// their arrival with a reason.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(("id" = uuid::Uuid, Path, description = "The appointment's id"), IfMatch, IdempotencyKey),
    responses(
        (status = 200, description = "It is recorded", body = Appointment,
         headers(("ETag" = String, description = "The new version"))),
        (status = 404, description = "There is no such appointment", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The patient was not expected; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_no_show(
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
    let expected = [Status::Booked];
    stored
        .status
        .must_be_one_of(&expected, "record a no-show for")?;
    stored.status = Status::NoShow;
    stored.orphaned = false;
    let by = By::user(caller);
    stored.save(&mut transaction, Change::NoShow, by).await?;
    occupancy::leave(&mut transaction, id).await?;
    stored
        .announce(&mut transaction, AppointmentChange::NoShow)
        .await?;
    changing.end(transaction, stored).await
}

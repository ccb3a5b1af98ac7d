//! `GET /appointment-links/{token}`: the page behind the link in a message to a patient.

use api::{
    Id, Problem, State,
    layers::{Open, Recorded, Repeatable},
};
use audit_trail::{Action, Resource, Subject, Trail};
use axum::{Router, extract::Path, response::Response};
use route::Route;
use sqlx::PgPool;

use super::link;
use crate::clock;

/// The route.
pub const ROUTE: Route<Open, Recorded, Repeatable> = Route::get("/appointment-links/{token}")
    .function("show-appointment-link")
    .records(Action::ReadAppointments);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(show_appointment_link, database.clone(), database)
}

/// Show the page of an appointment
///
/// Says when and where it is, and asks whether the patient will come. It changes nothing, whoever
/// fetches it.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "appointments",
    params(("token" = uuid::Uuid, Path, description = "The token in the link")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "There is no such link", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn show_appointment_link(
    State(database): State<PgPool>,
    trail: Trail,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let Ok(Id(token)) = token.parse() else {
        return Ok(link::nowhere());
    };
    let Some(linked) = link::find(&database, token).await? else {
        return Ok(link::nowhere());
    };
    let subject = Subject::ResourceOfPatient(Resource::appointment(linked.id), linked.patient_id);
    trail.succeeded(&database, subject).await?;
    Ok(linked.page(clock::now()))
}

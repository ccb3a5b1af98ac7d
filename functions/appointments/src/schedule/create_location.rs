//! `POST /api/locations`: sets up a place where patients are seen.

use api::{
    Input, InputErrors, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Resource, ResourceType, Subject, Trail};
use axum::{Json, Router, response::Response};
use fields::Line;
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::Permission;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;
use zones::Zone;

use super::{location::Location, text};
use crate::schema::SCHEMA;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/locations")
    .function("create-location")
    .requires(Permission::ManageSchedules)
    .records(Action::ConfigureSchedule)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(create_location, (), database)
}

/// A new location.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Harbour Street", "timeZone": "Europe/London" }))]
pub(crate) struct LocationInput {
    /// What the clinic calls it, 1 to 100 characters. Patients read it in their messages.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The IANA name of its time zone.
    time_zone: String,
}

/// Set up a location
///
/// Opening hours, and all times that patients read, are those of its time zone.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "schedules",
    params(IdempotencyKey),
    request_body = LocationInput,
    responses(
        (status = 201, description = "The location is set up", body = Location),
        (status = 400, description = "A field is invalid, or the time zone is unknown", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_location(
    State(()): State<()>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<LocationInput>,
) -> Result<Response, Interrupted> {
    let (name, zone) = input.parse()?;

    let mut transaction = work.begin().await?;
    let location = sqlx::query_as!(
        Location,
        "INSERT INTO appointments.location (id, name, time_zone)
         VALUES ($1, $2, $3)
         RETURNING id, version, name, time_zone, created_at",
        Uuid::now_v7(),
        name.as_str(),
        zone.name(),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let id = location.id;
    let resource = Resource {
        kind: ResourceType::Location,
        id,
    };
    trail
        .succeeded(&mut *transaction, Subject::Resource(resource))
        .await?;
    let at = [(header::LOCATION, format!("locations/{id}"))];
    let answer = (StatusCode::CREATED, at, Json(location));
    Ok(transaction.commit(id, answer).await?)
}

impl LocationInput {
    fn parse(self) -> Result<(Line, Zone), Problem> {
        let mut errors = InputErrors::default();
        let name = errors.field("name", text::name(&self.name));
        let zone = errors.field("timeZone", Zone::named(&self.time_zone));
        name.zip(zone).ok_or_else(|| errors.into_problem())
    }
}

//! `POST /api/resources`: sets up a clinician, a room or a device that appointments need.

use api::{
    Input, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, ResourceType, Subject, Trail};
use axum::{Json, Router, response::Response};
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::Permission;
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    resource::{Resource, ResourceKind},
    text,
};
use crate::schema::SCHEMA;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/resources")
    .function("create-resource")
    .requires(Permission::ManageSchedules)
    .records(Action::ConfigureSchedule)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(create_resource, (), database)
}

/// A new resource.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "kind": "CLINICIAN", "name": "Dr Amara Okafor", "locationId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"
}))]
pub(crate) struct ResourceInput {
    /// What it is.
    kind: ResourceKind,
    /// What the clinic calls it, 1 to 100 characters. Patients do not read it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Where it is.
    #[schema(value_type = Uuid)]
    location_id: api::Id,
}

/// Set up a resource
///
/// It has no hours yet, so nothing can be booked with it.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "schedules",
    params(IdempotencyKey),
    request_body = ResourceInput,
    responses(
        (status = 201, description = "The resource is set up", body = Resource),
        (status = 400, description = "A field is invalid, or there is no such location", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_resource(
    State(()): State<()>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<ResourceInput>,
) -> Result<Response, Interrupted> {
    let name = text::name(&input.name)
        .map_err(|error| Problem::invalid_field("name", error.to_string()))?;
    let api::Id(location) = input.location_id;

    let mut transaction = work.begin().await?;
    let resource = sqlx::query_as!(
        Resource,
        r#"INSERT INTO appointments.resource (id, kind, name, location_id)
           SELECT $1, $2, $3, location.id FROM appointments.location WHERE location.id = $4
           RETURNING id, version, kind AS "kind: ResourceKind", name, location_id, created_at"#,
        Uuid::now_v7(),
        input.kind.name(),
        name.as_str(),
        location,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| Problem::invalid_field("locationId", "There is no such location"))?;
    let id = resource.id;
    let about = audit_trail::Resource {
        kind: ResourceType::Resource,
        id,
    };
    trail
        .succeeded(&mut *transaction, Subject::Resource(about))
        .await?;
    let at = [(header::LOCATION, format!("resources/{id}"))];
    let answer = (StatusCode::CREATED, at, Json(resource));
    Ok(transaction.commit(id, answer).await?)
}

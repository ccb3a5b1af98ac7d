//! `POST /api/groups`: creates a group of patients, for any purpose.

use api::{
    Input, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::Permission;
use route::Route;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Group, GroupInput, on_record};
use crate::schema::SCHEMA;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/groups")
    .function("create-group")
    .requires(Permission::UpdatePatient)
    .records(Action::ChangeGroup)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(create_group, (), database)
}

/// Create a group
///
/// Patients who have something in common: a programme, a ward, a study. It has no members yet.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "groups",
    params(IdempotencyKey),
    request_body = GroupInput,
    responses(
        (status = 201, description = "The group is created", body = Group,
         headers(("ETag" = String, description = "The version, for If-Match"),
                 ("Location" = String, description = "Where the group is"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_group(
    State(()): State<()>,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<GroupInput>,
) -> Result<Response, Interrupted> {
    let details = input.parse()?;
    // The answer holds nothing about a patient, so that whoever repeats the request may have it.
    let mut transaction = work.begin().await?;
    let group = sqlx::query_as!(
        Group,
        "INSERT INTO patients.patient_group (id, name, purpose, description, active)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING id, version, name, purpose, description, active, created_at, updated_at",
        Uuid::now_v7(),
        details.name.as_str(),
        details.purpose.as_ref().map(fields::Line::as_str),
        details.description.as_ref().map(fields::Lines::as_str),
        details.active.unwrap_or(true),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let id = group.id;
    trail
        .succeeded(&mut *transaction, Subject::Resource(on_record(id)))
        .await?;
    let at = [(header::LOCATION, format!("groups/{id}"))];
    let answer = (StatusCode::CREATED, at, group.entity_tag(), Json(group));
    Ok(transaction.commit(id, answer).await?)
}

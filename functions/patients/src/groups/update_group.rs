//! `PUT /api/groups/{id}`: changes what a group is called and what it is for.

use api::{
    EntityTag, IfMatch, Input, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use sqlx::PgPool;
use store::Transaction;

use super::{Group, GroupInput, not_found, on_record};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::put("/api/groups/{id}")
    .function("update-group")
    .requires(Permission::UpdatePatient)
    .records(Action::ChangeGroup)
    .about(About::ResourceInPath(ResourceType::Group));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(update_group, database.clone(), database)
}

/// Change a group
///
/// Replaces its name, purpose and description, and says whether it is in use. You may send back a
/// group that you have read, with your changes: fields that you cannot set are ignored. A group that
/// is not in use stays so unless `active` says otherwise. Its members stay.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "groups",
    params(("id" = uuid::Uuid, Path, description = "The group's id"), IfMatch),
    request_body = GroupInput,
    responses(
        (status = 200, description = "The group as it is now", body = Group,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such group", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn update_group(
    State(database): State<PgPool>,
    trail: Trail,
    PathId(id): PathId,
    if_match: IfMatch,
    Input(input): Input<GroupInput>,
) -> Result<(EntityTag, Json<Group>), Problem> {
    let details = input.parse()?;
    let mut transaction = Transaction::begin(&database).await?;
    let version = sqlx::query_scalar!(
        "SELECT version FROM patients.patient_group WHERE id = $1 FOR UPDATE",
        id,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(not_found)?;
    if_match.check(version)?;
    let group = sqlx::query_as!(
        Group,
        "UPDATE patients.patient_group
         SET version = version + 1, name = $2, purpose = $3, description = $4,
             active = coalesce($5, active), updated_at = clock_timestamp()
         WHERE id = $1
         RETURNING id, version, name, purpose, description, active, created_at, updated_at",
        id,
        details.name.as_str(),
        details.purpose.as_ref().map(fields::Line::as_str),
        details.description.as_ref().map(fields::Lines::as_str),
        details.active,
    )
    .fetch_one(&mut transaction)
    .await?;
    trail
        .succeeded(&mut transaction, Subject::Resource(on_record(id)))
        .await?;
    transaction.commit().await?;
    Ok((group.entity_tag(), Json(group)))
}

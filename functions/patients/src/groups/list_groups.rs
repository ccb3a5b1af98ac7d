//! `GET /api/groups`: the groups, oldest first, a page at a time.

use api::{
    Cursor, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Group;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/groups")
    .function("list-groups")
    .requires(Permission::ListPatients)
    .records(Action::ReadGroups);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_groups, database.clone(), database)
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only groups that this patient is, was or will be a member of. Whoever asks has to be allowed to see the patient.
    #[param(value_type = Option<Uuid>)]
    patient_id: Option<Id>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Id>>,
    /// The number of groups per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupList {
    groups: Vec<Group>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List groups
///
/// All of them, or those that a patient is or was in. They say nothing about who is in them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "groups",
    params(Page),
    responses(
        (status = 200, description = "A page of groups", body = GroupList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_groups(
    caller: identity::Caller,
    State(database): State<PgPool>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<GroupList>, Problem> {
    let patient = page.patient_id.map(|Id(id)| id);
    if let Some(patient) = patient {
        trail.about(Subject::Patient(patient));
        patient_access::must_see(caller, patient, &database).await?;
    }
    let after = page.cursor.map_or(Uuid::nil(), |Cursor(Id(id))| id);
    let mut groups = sqlx::query_as!(
        Group,
        "SELECT id, version, name, purpose, description, active, created_at, updated_at
         FROM patients.patient_group
         WHERE id > $1 AND ($3::uuid IS NULL OR EXISTS (
             SELECT FROM patients.group_member WHERE group_id = patient_group.id AND patient_id = patients.canonical($3)))
         ORDER BY id
         LIMIT $2",
        after,
        page.limit.and_one_more(),
        patient,
    )
    .fetch_all(&database)
    .await?;
    let next_cursor = page.limit.cut(&mut groups, |last| Id(last.id));
    let subject = patient.map_or(Subject::Nobody, Subject::Patient);
    trail.succeeded(&database, subject).await?;
    Ok(Json(GroupList {
        groups,
        next_cursor,
    }))
}

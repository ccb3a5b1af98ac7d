//! `GET /api/groups/{id}`: a group and who is in it, a page of members at a time.

use api::{
    ClinicTimeZone, Cursor, Id, Limit, PathIdAndQuery, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router, response::IntoResponse};
use chrono::{NaiveDate, Utc};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Group, not_found, on_record};
use crate::{patient::Patient, patients_by_id};

/// Up to how many members are counted.
const MOST_COUNTED: i64 = 1_000;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/groups/{id}")
    .function("get-group")
    .requires(Permission::ListPatients)
    .records(Action::ReadGroups)
    .about(About::ResourceInPath(ResourceType::Group));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_group, database.clone(), database)
}

/// Which members, and which page of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// The day on which they are members, `YYYY-MM-DD`; today, if it is missing.
    #[param(value_type = Option<NaiveDate>)]
    on: Option<String>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Id>>,
    /// The number of members per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A group and a page of its members.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupWithMembers {
    #[serde(flatten)]
    group: Group,
    /// How many members there are that day whom the caller may see, counted up to 1,000.
    member_count: i64,
    /// Whether there are more members than were counted.
    more_members: bool,
    /// The members that day whom the caller may see, in the order of their registration.
    members: Vec<Member>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Somebody who is in a group.
#[derive(Serialize, ToSchema)]
#[schema(title = "GroupMember", as = GroupMember)]
pub(crate) struct Member {
    /// The member.
    patient: Patient,
    /// The first day; null if it is unknown.
    #[schema(required)]
    from: Option<NaiveDate>,
    /// The last day; null if it is not over.
    #[schema(required)]
    to: Option<NaiveDate>,
}

/// Get a group
///
/// What it is for, and who is in it on a day. Restricted patients are listed and counted only for
/// callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "groups",
    params(("id" = Uuid, Path, description = "The group's id"), Page),
    responses(
        (status = 200, description = "The group and a page of its members", body = GroupWithMembers,
         headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such group", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_group(
    caller: Caller,
    State(database): State<PgPool>,
    clinic: ClinicTimeZone,
    trail: Trail,
    PathIdAndQuery(id, page): PathIdAndQuery<Page>,
) -> Result<impl IntoResponse, Problem> {
    let day = match page.on {
        Some(day) => {
            api::day(&day).map_err(|error| Problem::invalid_field("on", error.to_string()))?
        }
        None => clinic.day(Utc::now()),
    };
    let sees_restricted = caller.role.may(Permission::SeeRestrictedPatients);
    let group = sqlx::query_as!(
        Group,
        "SELECT id, version, name, purpose, description, active, created_at, updated_at
         FROM patients.patient_group WHERE id = $1",
        id,
    )
    .fetch_optional(&database)
    .await?
    .ok_or_else(not_found)?;
    let counted = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM (
               SELECT FROM patients.group_member AS member
               JOIN patients.patient ON patient.id = member.patient_id
               WHERE member.group_id = $1 AND patient.deleted_at IS NULL AND (NOT patient.restricted OR $2)
                   AND coalesce(member.valid_from, '-infinity') <= $3
                   AND coalesce(member.valid_to, 'infinity') >= $3
               LIMIT $4
           ) AS counted"#,
        id,
        sees_restricted,
        day,
        MOST_COUNTED + 1,
    )
    .fetch_one(&database)
    .await?;
    let mut rows = sqlx::query!(
        "SELECT member.patient_id, member.valid_from, member.valid_to
         FROM patients.group_member AS member
         JOIN patients.patient ON patient.id = member.patient_id
         WHERE member.group_id = $1 AND patient.deleted_at IS NULL AND (NOT patient.restricted OR $2)
             AND coalesce(member.valid_from, '-infinity') <= $3
             AND coalesce(member.valid_to, 'infinity') >= $3
             AND member.patient_id > $4
         ORDER BY member.patient_id
         LIMIT $5",
        id,
        sees_restricted,
        day,
        page.cursor.map_or(Uuid::nil(), |Cursor(Id(id))| id),
        page.limit.and_one_more(),
    )
    .fetch_all(&database)
    .await?;
    let next_cursor = page.limit.cut(&mut rows, |last| Id(last.patient_id));
    let seen: Vec<Uuid> = rows.iter().map(|row| row.patient_id).collect();
    let mut patients = patients_by_id::visible(&database, caller, &seen).await?;
    let members = rows.into_iter().filter_map(|row| {
        Some(Member {
            patient: patients.remove(&row.patient_id)?,
            from: row.valid_from,
            to: row.valid_to,
        })
    });
    let members = members.collect();
    let subject = if seen.is_empty() {
        Subject::Resource(on_record(id))
    } else {
        Subject::ResourceOfPatients(on_record(id), &seen)
    };
    trail.succeeded(&database, subject).await?;
    let group = GroupWithMembers {
        member_count: counted.min(MOST_COUNTED),
        more_members: counted > MOST_COUNTED,
        members,
        next_cursor,
        group,
    };
    Ok((group.group.entity_tag(), Json(group)))
}

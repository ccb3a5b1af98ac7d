//! `PUT /api/groups/{id}/members/{patientId}`: puts a patient into a group, or says from when until
//! when they are in it.

use api::{
    Id, OptionalInput, PathInput, Problem, ProblemDocument, ReadOnly, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::{Json, Router};
use chrono::NaiveDate;
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{not_found, on_record};
use crate::{family::Period, patient::Patient, patient_lock};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/groups/{id}/members/{patientId}")
        .function("add-group-member")
        .requires(Permission::UpdatePatient)
        .records(Action::ChangeGroup)
        .about(About::ResourceInPath(ResourceType::Group));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(add_group_member, database.clone(), database)
}

/// Where a membership is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    pub(crate) id: Id,
    pub(crate) patient_id: Id,
}

/// From when until when a patient is in a group. Both may be missing. The read-only fields of a
/// membership, and of a member of a group, are accepted and ignored; any other field is rejected.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "from": "2026-03-01", "to": null }))]
pub(crate) struct MembershipInput {
    /// The first day, `YYYY-MM-DD`; missing or null if it is unknown.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day; missing or null if it is not over.
    #[schema(format = Date)]
    to: Option<String>,
    #[serde(default, rename = "groupId")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _group_id: ReadOnly,
    #[serde(default, rename = "patientId")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _patient_id: ReadOnly,
    #[serde(default, rename = "patient")]
    #[schema(read_only, value_type = Option<Patient>)]
    _patient: ReadOnly,
}

/// That a patient is in a group.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "GroupMembership", as = GroupMembership, example = json!({
    "groupId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1d0",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "from": "2026-03-01",
    "to": null
}))]
pub(crate) struct Membership {
    /// The group.
    group_id: Uuid,
    /// The patient.
    patient_id: Uuid,
    /// The first day; null if it is unknown.
    #[schema(required)]
    from: Option<NaiveDate>,
    /// The last day; null if it is not over.
    #[schema(required)]
    to: Option<NaiveDate>,
}

/// Put a patient into a group
///
/// With a first day, a last day, or neither. For a patient who is in the group already, it replaces
/// these days: that is how a membership ends.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "groups",
    params(
        ("id" = Uuid, Path, description = "The group's id"),
        ("patientId" = Uuid, Path, description = "The patient's id"),
    ),
    request_body(content = Option<MembershipInput>),
    responses(
        (status = 200, description = "The patient is in the group", body = Membership),
        (status = 400, description = "An id or a day is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such group or patient, or the patient was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The group is not in use, and the patient is not in it; or the record was merged into another one", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add_group_member(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathInput(place): PathInput<Place>,
    OptionalInput(input): OptionalInput<MembershipInput>,
) -> Result<Json<Membership>, Problem> {
    let (Id(group), Id(patient)) = (place.id, place.patient_id);
    let days = Period {
        from: input.from,
        to: input.to,
    }
    .parse()?;
    let mut transaction = Transaction::begin(&database).await?;
    patient_lock::hold(&mut transaction, caller, &[patient]).await?;
    let active = sqlx::query_scalar!(
        "SELECT active FROM patients.patient_group WHERE id = $1 FOR KEY SHARE",
        group,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(not_found)?;
    let written = sqlx::query!(
        "INSERT INTO patients.group_member AS member (group_id, patient_id, valid_from, valid_to)
         SELECT $1, $2, $3, $4
         WHERE $5 OR EXISTS (
             SELECT FROM patients.group_member WHERE group_id = $1 AND patient_id = $2)
         ON CONFLICT ON CONSTRAINT group_member_pkey
         DO UPDATE SET valid_from = EXCLUDED.valid_from, valid_to = EXCLUDED.valid_to",
        group,
        patient,
        days.from,
        days.to,
        active,
    )
    .execute(&mut transaction)
    .await?;
    if written.rows_affected() == 0 {
        return Err(Problem::conflict("id", "The group is not in use any more"));
    }
    let subject = Subject::ResourceOfPatient(on_record(group), patient);
    trail.succeeded(&mut transaction, subject).await?;
    transaction.commit().await?;
    Ok(Json(Membership {
        group_id: group,
        patient_id: patient,
        from: days.from,
        to: days.to,
    }))
}

//! `PUT /api/patients/{id}/family`: says who lives with a patient, at which address, and who is head
//! of the family.

use api::{
    ClinicTimeZone, EntityTag, Id, IfMatch, Input, InputErrors, PathId, Problem, ProblemDocument,
    ReadOnly, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router, response::IntoResponse};
use chrono::Utc;
use fields::Lines;
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    MOST_MEMBERS,
    get_family::{Family, Member},
};
use crate::patient_lock;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::put("/api/patients/{id}/family")
    .function("replace-family")
    .requires(Permission::UpdatePatient)
    .records(Action::ChangeFamily)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(replace_family, database.clone(), database)
}

/// Who lives together. The read-only fields of a family are accepted and ignored; any other field is
/// rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "headId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "address": "422 Farrell Path Unit 69, Somerville, Massachusetts 02143",
    "memberIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"]
}))]
pub(crate) struct FamilyInput {
    /// The head of the family: the patient, or one of the members. Missing or null: nobody.
    #[schema(value_type = Option<Uuid>)]
    head_id: Option<Id>,
    /// The address that they share, at most 300 characters.
    #[schema(max_length = 300)]
    address: Option<String>,
    /// Who lives with the patient, at most 29. The patient need not be named.
    #[schema(value_type = Vec<Uuid>, max_items = 30)]
    member_ids: Vec<Id>,
    #[serde(default, rename = "id")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _id: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "members")]
    #[schema(read_only, value_type = Option<Vec<Member>>)]
    _members: ReadOnly,
}

/// Record who lives together
///
/// The patient and these members are a family from now on, and nobody else is in it, except for
/// restricted patients whom the caller may not see: they stay. Whoever was in another family leaves
/// it. What the members are to each other is said by their relationships. You may send back a family
/// that you have read, with your changes: fields that you cannot set are ignored.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "families",
    params(("id" = Uuid, Path, description = "The patient's id"), IfMatch),
    request_body = FamilyInput,
    responses(
        (status = 200, description = "The family as it is now", body = Family,
         headers(("ETag" = String, description = "The new version"))),
        (status = 400, description = "A field is invalid, or the head is not a member", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not one of these: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "One of the patients does not exist, or was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The record of one of them was merged into another one", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn replace_family(
    caller: Caller,
    State(database): State<PgPool>,
    clinic: ClinicTimeZone,
    trail: Trail,
    PathId(id): PathId,
    if_match: IfMatch,
    Input(input): Input<FamilyInput>,
) -> Result<impl IntoResponse, Problem> {
    let new = input.parse(id)?;
    let mut transaction = Transaction::begin(&database).await?;
    patient_lock::hold(&mut transaction, caller, &new.members).await?;
    let family = family_of(&mut transaction, id, &if_match).await?;
    new.write(&mut transaction, caller, family).await?;
    let today = clinic.day(Utc::now());
    let family = Family::of(&mut transaction, caller, id, today).await?;
    trail
        .succeeded(&mut transaction, Subject::Patients(&new.members))
        .await?;
    transaction.commit().await?;
    Ok((EntityTag(family.version), Json(family)))
}

/// The patient's family, locked, or a new one.
async fn family_of(
    transaction: &mut Transaction,
    patient: Uuid,
    if_match: &IfMatch,
) -> Result<Uuid, Problem> {
    let known = sqlx::query!(
        "SELECT id, version FROM patients.family
         WHERE id = (SELECT family_id FROM patients.family_member WHERE patient_id = $1)
         FOR UPDATE",
        patient,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if_match.check(known.as_ref().map_or(0, |family| family.version))?;
    if let Some(family) = known {
        return Ok(family.id);
    }
    let id = Uuid::now_v7();
    // Its first version comes with its members.
    sqlx::query!(
        "INSERT INTO patients.family (id, version) VALUES ($1, 0)",
        id
    )
    .execute(transaction)
    .await?;
    Ok(id)
}

/// Who lives together, the patient included.
struct Household {
    head: Option<Uuid>,
    address: Option<Lines>,
    members: Vec<Uuid>,
}

impl FamilyInput {
    fn parse(self, patient: Uuid) -> Result<Household, Problem> {
        let mut errors = InputErrors::default();
        let address = self.address.map(|text| Lines::parse(&text, &(1..=300)));
        let address = address
            .transpose()
            .map_err(|error| format!("Address {error}"));
        let address = errors.field("address", address);
        let mut members: Vec<Uuid> = self.member_ids.into_iter().map(|Id(id)| id).collect();
        members.push(patient);
        members.sort_unstable();
        members.dedup();
        let few = (members.len() <= MOST_MEMBERS)
            .then_some(())
            .ok_or("A family has at most 30 members");
        let few = errors.field("memberIds", few);
        let head = match self.head_id {
            Some(Id(head)) if !members.contains(&head) => Err("Must be the patient or a member"),
            head => Ok(head.map(|Id(head)| head)),
        };
        let head = errors.field("headId", head);
        match (address, head, few) {
            (Some(address), Some(head), Some(())) => Ok(Household {
                head,
                address,
                members,
            }),
            _ => Err(errors.into_problem()),
        }
    }
}

impl Household {
    /// Makes these the members of the family.
    async fn write(
        &self,
        transaction: &mut Transaction,
        caller: Caller,
        family: Uuid,
    ) -> Result<(), Problem> {
        let before = sqlx::query_scalar!(
            "SELECT DISTINCT family_id FROM patients.family_member WHERE patient_id = ANY($1)",
            &self.members,
        )
        .fetch_all(&mut *transaction)
        .await?;
        // The head of before may stay as a member, and there is one head at a time. One whom the
        // caller may not see remains the head, unless there is to be another one.
        sqlx::query!(
            "UPDATE patients.family_member AS member SET is_head = false FROM patients.patient
             WHERE member.family_id = $1 AND patient.id = member.patient_id
                 AND (NOT patient.restricted OR $2 OR $3::uuid IS NOT NULL)",
            family,
            caller.role.may(Permission::SeeRestrictedPatients),
            self.head,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "DELETE FROM patients.family_member AS member USING patients.patient
             WHERE member.family_id = $1 AND patient.id = member.patient_id
                 AND member.patient_id <> ALL($2) AND (NOT patient.restricted OR $3)",
            family,
            &self.members,
            caller.role.may(Permission::SeeRestrictedPatients),
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO patients.family_member (patient_id, family_id, is_head)
             SELECT id, $1, id IS NOT DISTINCT FROM $3 FROM unnest($2::uuid[]) AS member (id)
             ON CONFLICT ON CONSTRAINT family_member_pkey
             DO UPDATE SET family_id = EXCLUDED.family_id, is_head = EXCLUDED.is_head",
            family,
            &self.members,
            self.head,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "UPDATE patients.family
             SET address = CASE WHEN id = $1 THEN $2 ELSE address END,
                 version = version + 1, updated_at = clock_timestamp()
             WHERE id = $1 OR id = ANY($3)",
            family,
            self.address.as_ref().map(Lines::as_str),
            &before,
        )
        .execute(&mut *transaction)
        .await?;
        // A family that everybody has left is none.
        sqlx::query!(
            "DELETE FROM patients.family
             WHERE id = ANY($1)
                 AND NOT EXISTS (SELECT FROM patients.family_member WHERE family_id = family.id)",
            &before,
        )
        .execute(transaction)
        .await?;
        Ok(())
    }
}

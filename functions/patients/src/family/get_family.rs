//! `GET /api/patients/{id}/family`: who belongs to a patient.

use std::collections::BTreeSet;

use api::{
    ClinicTimeZone, EntityTag, PathId, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router, response::IntoResponse};
use chrono::{NaiveDate, Utc};
use identity::{Caller, Permission};
use patient_access::must_see_if;
use route::Route;
use serde::Serialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Pair, Role};
use crate::{patient::Patient, patients_by_id, storage, stored::stored};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/patients/{id}/family")
    .function("get-family")
    .requires(Permission::ReadPatient)
    .records(Action::ReadFamily)
    .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(get_family, database.clone(), database)
}

/// Who belongs to a patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Family", as = Family)]
pub(crate) struct Family {
    /// Identifies the family that the patient lives with; null if none is recorded.
    #[schema(required)]
    id: Option<Uuid>,
    /// The version of who lives together, for `If-Match`; 0 if there is no family yet.
    pub(crate) version: i64,
    /// The head of the family; null if there is none, or if the caller may not see them.
    #[schema(required)]
    head_id: Option<Uuid>,
    /// The address that they share; null if none is recorded.
    #[schema(required)]
    address: Option<String>,
    /// Who lives with the patient, and may be seen by the caller: what `PUT` replaces.
    member_ids: Vec<Uuid>,
    /// Everybody who is related to the patient today, or will be, and everybody who lives with
    /// them. Who is related in two ways is there twice. Restricted patients are there only for
    /// callers who may see them.
    members: Vec<Member>,
}

/// Somebody who belongs to the patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "FamilyMember", as = FamilyMember)]
pub(crate) struct Member {
    /// The member.
    patient: Patient,
    /// What they are to the patient: `HOUSEHOLD_MEMBER` if nothing is recorded but that they live
    /// together.
    role: Role,
    /// The relationship, by which it can be deleted; null if they only live together.
    #[schema(required)]
    relationship_id: Option<Uuid>,
    /// The first day of the relationship; null if it is unknown.
    #[schema(required)]
    from: Option<NaiveDate>,
    /// The last day of the relationship; null if it is not over.
    #[schema(required)]
    to: Option<NaiveDate>,
}

/// Get a patient's family
///
/// Who is related to them, who lives with them, who is head of the family, and the address that
/// they share. Relationships that are over are left out.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "families",
    params(("id" = Uuid, Path, description = "The patient's id")),
    responses(
        (status = 200, description = "The family", body = Family,
         headers(("ETag" = String, description = "The version of who lives together, for If-Match"))),
        (status = 403, description = "The role may not see patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, or they were deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_family(
    caller: Caller,
    State(database): State<PgPool>,
    clinic: ClinicTimeZone,
    trail: Trail,
    PathId(id): PathId,
) -> Result<impl IntoResponse, Problem> {
    let mut transaction = Transaction::begin(&database).await?;
    let patient = storage::find(id, &mut transaction).await?;
    if let Some(patient) = &patient {
        must_see_if(caller, patient.restricted)?;
    }
    // The family of a record that was merged into another is that of the other.
    let id = storage::in_use(patient)?.merged_into.unwrap_or(id);
    let family = Family::of(&mut transaction, caller, id, clinic.day(Utc::now())).await?;
    trail
        .succeeded(&mut transaction, Subject::Patients(&family.everybody(id)))
        .await?;
    transaction.commit().await?;
    Ok((EntityTag(family.version), Json(family)))
}

impl Family {
    /// The family of a patient as a caller may see it on this day.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn of(
        transaction: &mut Transaction,
        caller: Caller,
        patient: Uuid,
        today: NaiveDate,
    ) -> Result<Self, Problem> {
        let household = Household::of(transaction, patient).await?;
        let mut relatives = related(transaction, patient, today).await?;
        for &member in &household.members {
            if member != patient && relatives.iter().all(|relative| relative.patient != member) {
                relatives.push(Relative::by_household(member));
            }
        }
        let ids: Vec<Uuid> = relatives.iter().map(|relative| relative.patient).collect();
        let ids = [ids, vec![patient]].concat();
        let visible = patients_by_id::visible(transaction, caller, &ids).await?;
        let mut member_ids = household.members;
        member_ids.retain(|member| *member != patient && visible.contains_key(member));
        let members = relatives.into_iter().filter_map(|relative| {
            Some(Member {
                patient: visible.get(&relative.patient)?.clone(),
                role: relative.role,
                relationship_id: relative.relationship,
                from: relative.from,
                to: relative.to,
            })
        });
        Ok(Self {
            id: household.id,
            version: household.version,
            head_id: household.head.filter(|head| visible.contains_key(head)),
            address: household.address,
            member_ids,
            members: members.collect(),
        })
    }

    /// The patient and everybody in the family, each once.
    pub(crate) fn everybody(&self, patient: Uuid) -> Vec<Uuid> {
        let members = self.members.iter().map(|member| member.patient.id);
        let everybody: BTreeSet<Uuid> = members.chain([patient]).collect();
        everybody.into_iter().collect()
    }
}

/// Somebody who belongs to a patient, by id.
struct Relative {
    patient: Uuid,
    role: Role,
    relationship: Option<Uuid>,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
}

impl Relative {
    const fn by_household(patient: Uuid) -> Self {
        Self {
            patient,
            role: Role::HouseholdMember,
            relationship: None,
            from: None,
            to: None,
        }
    }
}

/// Whose relationship to the patient is not over.
async fn related(
    transaction: &mut Transaction,
    patient: Uuid,
    today: NaiveDate,
) -> Result<Vec<Relative>, Problem> {
    let rows = sqlx::query!(
        "SELECT id, lower_id, upper_id, role, valid_from, valid_to FROM patients.relationship
         WHERE (lower_id = $1 OR upper_id = $1) AND coalesce(valid_to, 'infinity') >= $2
         ORDER BY id",
        patient,
        today,
    )
    .fetch_all(transaction)
    .await?;
    let relatives = rows.into_iter().map(|row| {
        let role: Role = stored(&row.role).map_err(Problem::internal)?;
        let pair = Pair {
            lower: row.lower_id,
            upper: row.upper_id,
            role,
        };
        let (other, role) = pair.seen_by(patient);
        Ok(Relative {
            patient: other,
            role,
            relationship: Some(row.id),
            from: row.valid_from,
            to: row.valid_to,
        })
    });
    relatives.collect()
}

/// Who lives together; nobody, for a patient of whom nothing is recorded.
#[derive(Default)]
struct Household {
    id: Option<Uuid>,
    version: i64,
    address: Option<String>,
    head: Option<Uuid>,
    members: Vec<Uuid>,
}

impl Household {
    async fn of(transaction: &mut Transaction, patient: Uuid) -> Result<Self, Problem> {
        let rows = sqlx::query!(
            "SELECT family.id, family.version, family.address, member.patient_id, member.is_head
             FROM patients.family_member AS mine
             JOIN patients.family ON family.id = mine.family_id
             JOIN patients.family_member AS member ON member.family_id = family.id
             WHERE mine.patient_id = $1
             ORDER BY member.patient_id",
            patient,
        )
        .fetch_all(transaction)
        .await?;
        let mut household = Self::default();
        for row in rows {
            household.id = Some(row.id);
            household.version = row.version;
            household.address = row.address;
            if row.is_head {
                household.head = Some(row.patient_id);
            }
            household.members.push(row.patient_id);
        }
        Ok(household)
    }
}

//! `GET /api/audit`: who did what, newest first, a page at a time.
//!
//! Who looks at the trail leaves a record in it, too.

use std::collections::{HashMap, HashSet};

use api::{
    ClinicTimeZone, Cursor, DayOrTime, Id, Limit, Problem, ProblemDocument, QueryInput, State,
    Time,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Outcome, ResourceType, Subject, Trail};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use identity::{Permission, Role};
use patient_access::ids_of;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/audit")
    .function("list-audit-records")
    .requires(Permission::ReadAuditTrail)
    .records(Action::ReadAuditTrail)
    .about(About::PatientInQuery);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(list_audit_records, database.clone(), database)
}

/// Which records, and which page of them. Filters that are given all have to fit.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Whose data it was.
    #[param(value_type = Option<Uuid>)]
    patient_id: Option<Id>,
    /// Who did it: the id of their account.
    #[param(value_type = Option<Uuid>)]
    actor_id: Option<Id>,
    /// Whose account it was about.
    #[param(value_type = Option<Uuid>)]
    account_id: Option<Id>,
    /// Which type of resource it was about; together with `resourceId`.
    resource_type: Option<ResourceType>,
    /// Which resource it was about; together with `resourceType`.
    #[param(value_type = Option<Uuid>)]
    resource_id: Option<Id>,
    /// What was done.
    action: Option<Action>,
    /// What came of it.
    outcome: Option<Outcome>,
    /// From this day of the clinic, `YYYY-MM-DD`, or from this time, RFC 3339.
    #[param(inline)]
    from: Option<DayOrTime>,
    /// To this day, with all of it, or before this time.
    #[param(inline)]
    to: Option<DayOrTime>,
    /// `nextCursor` of the page before; the first page without it.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Position>>,
    /// How many records, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// What a filter goes after.
const RECORDS: &str = "
    SELECT id, occurred_at, actor_id, actor_role, action, outcome, problem, patient_ids,
           account_id, reason, source, request_id, resource_type, resource_id
    FROM audit.record
    WHERE true";

/// How many of the newest records are looked through for each one of a patient's.
const LOOKED_THROUGH: i64 = 50;

/// Where a page ends: the time and the id of its last record.
type Position = (Time, Id);

/// A page of the audit trail.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditRecordList {
    records: Vec<AuditRecord>,
    /// Hand it back as `cursor` for the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// Something that somebody did, or was not let do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3e2",
    "occurredAt": "2026-01-15T09:30:00.223456Z",
    "actorId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "actorName": "Zoe Kiefer",
    "actorRole": "CLINICIAN",
    "action": "EMERGENCY_ACCESS",
    "outcome": "SUCCEEDED",
    "problem": null,
    "patientIds": ["019bc0fd-8a38-7c35-9b6c-0d2a54f3c1aa"],
    "accountId": null,
    "resourceType": null,
    "resourceId": null,
    "reason": "Unconscious in the emergency room, allergies unknown",
    "source": "203.0.113.7",
    "requestId": "b1f7a0c2-5a3c-4c6e-9a55-0d8f6f1f2f11"
}))]
pub(crate) struct AuditRecord {
    id: Uuid,
    occurred_at: DateTime<Utc>,
    /// Who did it; null where nobody was logged in.
    #[schema(required)]
    actor_id: Option<Uuid>,
    /// What they are called now, if their account has a name.
    #[schema(required)]
    actor_name: Option<String>,
    /// What they were then.
    #[schema(required)]
    actor_role: Option<Role>,
    action: Action,
    outcome: Outcome,
    /// Why it did not succeed: the name of the problem that the client was told.
    #[schema(required)]
    problem: Option<String>,
    /// Whose data it was; all that were on the page of a list.
    patient_ids: Vec<Uuid>,
    /// Whose account it was about.
    #[schema(required)]
    account_id: Option<Uuid>,
    /// Of which type the resource is that it was about.
    #[schema(required)]
    resource_type: Option<ResourceType>,
    /// Which resource it was about, such as a billing account. Null, as its type, where it was about
    /// patients or accounts alone.
    #[schema(required)]
    resource_id: Option<Uuid>,
    /// The reason that the actor stated, for an emergency access or for erasing a patient. Some records from
    /// before December 2026 have others.
    #[schema(required)]
    reason: Option<String>,
    /// The network address that the request came from.
    #[schema(required)]
    source: Option<String>,
    /// Names the request in the logs.
    #[schema(required)]
    request_id: Option<String>,
}

/// List audit records
///
/// Every read and change of patient data, every login, refusal and change of an account, newest
/// first. Records cannot be changed or removed.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "audit",
    params(Page),
    responses(
        (status = 200, description = "A page of records", body = AuditRecordList),
        (status = 400, description = "A filter, the cursor or the limit is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_audit_records(
    State(database): State<PgPool>,
    clinic: ClinicTimeZone,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<AuditRecordList>, Problem> {
    page.must_have_a_period(clinic)?;
    page.must_have_a_whole_resource()?;
    let rows = page.read(&database, clinic).await?;
    let names = names_of(&rows, &database).await?;
    let records: Result<Vec<_>, _> = rows.into_iter().map(|row| row.read(&names)).collect();
    let mut records = records?;
    let next_cursor = page
        .limit
        .cut(&mut records, |last| (Time(last.occurred_at), Id(last.id)));

    let patient = page.patient_id.map(|Id(id)| id);
    let subject = patient.map_or(Subject::Nobody, Subject::Patient);
    trail.succeeded(&database, subject).await?;
    Ok(Json(AuditRecordList {
        records,
        next_cursor,
    }))
}

impl Page {
    /// 400 for a period that ends before it begins.
    fn must_have_a_period(&self, clinic: ClinicTimeZone) -> Result<(), Problem> {
        let from = self.from.map(|from| from.first(clinic));
        let to = self.to.map(|to| to.end(clinic));
        if from.zip(to).is_some_and(|(from, to)| to <= from) {
            let message = "Must be before to, of which a day is included";
            return Err(Problem::invalid_field("from", message));
        }
        Ok(())
    }

    /// 400 for half of a resource: an id is one among those of its type, and all of a type are for
    /// the filter of actions.
    fn must_have_a_whole_resource(&self) -> Result<(), Problem> {
        let (missing, given) = match (self.resource_type, self.resource_id) {
            (Some(_), None) => ("resourceId", "resourceType"),
            (None, Some(_)) => ("resourceType", "resourceId"),
            (Some(_), Some(_)) | (None, None) => return Ok(()),
        };
        let message = format!("Must be given together with {given}");
        Err(Problem::invalid_field(missing, message))
    }

    /// The page's records and one more.
    async fn read(&self, database: &PgPool, clinic: ClinicTimeZone) -> Result<Vec<Row>, Problem> {
        let limit = self.limit.and_one_more();
        let Some(Id(patient)) = self.patient_id else {
            return fetch(self.newest(clinic, limit), database).await;
        };
        // Who is on the first page of a list is in so many records that it would take long to read
        // them all, and in so many of the newest ones that it is not necessary.
        let patients = ids_of(patient, database).await?;
        let rows = fetch(self.newest_of(&patients, clinic, limit), database).await?;
        if i64::try_from(rows.len()).is_ok_and(|found| found == limit) {
            return Ok(rows);
        }
        fetch(self.all_of(&patients, clinic, limit), database).await
    }

    /// The newest records that fit, whosever data it was.
    fn newest(&self, clinic: ClinicTimeZone, limit: i64) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new(RECORDS);
        self.push_filters(&mut query);
        self.push_time(&mut query, clinic);
        push_order(&mut query, limit);
        query
    }

    /// What fits and is the patient's of some of the newest records.
    fn newest_of(
        &self,
        patients: &[Uuid],
        clinic: ClinicTimeZone,
        limit: i64,
    ) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("SELECT * FROM (");
        query.push(RECORDS);
        self.push_time(&mut query, clinic);
        push_order(&mut query, LOOKED_THROUGH * limit);
        query.push(") AS newest WHERE patient_ids && ");
        query.push_bind(patients.to_vec());
        self.push_filters(&mut query);
        push_order(&mut query, limit);
        query
    }

    /// What fits of all that is the patient's. It is collected before it is put in order:
    /// PostgreSQL, which may know how frequent a patient is and not when they were, would look for
    /// them from the newest record on, through all the years before it comes to one.
    fn all_of(
        &self,
        patients: &[Uuid],
        clinic: ClinicTimeZone,
        limit: i64,
    ) -> QueryBuilder<Postgres> {
        let mut query = QueryBuilder::new("WITH of_patient AS MATERIALIZED (");
        query.push(RECORDS).push(" AND patient_ids && ");
        query.push_bind(patients.to_vec());
        self.push_filters(&mut query);
        self.push_time(&mut query, clinic);
        query.push(") SELECT * FROM of_patient");
        push_order(&mut query, limit);
        query
    }

    /// Those filters alone that are given: one statement for all of them would read every record
    /// for most.
    fn push_filters(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(Id(actor)) = self.actor_id {
            query.push(" AND actor_id = ").push_bind(actor);
        }
        if let Some(Id(account)) = self.account_id {
            query.push(" AND account_id = ").push_bind(account);
        }
        if let Some(kind) = self.resource_type {
            query.push(" AND resource_type = ").push_bind(kind.name());
        }
        if let Some(Id(resource)) = self.resource_id {
            query.push(" AND resource_id = ").push_bind(resource);
        }
        if let Some(action) = self.action {
            query.push(" AND action = ").push_bind(action.name());
        }
        if let Some(outcome) = self.outcome {
            query.push(" AND outcome = ").push_bind(outcome.name());
        }
    }

    /// From when to when, and what comes after the page before.
    fn push_time(&self, query: &mut QueryBuilder<Postgres>, clinic: ClinicTimeZone) {
        if let Some(from) = self.from {
            let from = from.first(clinic);
            query.push(" AND occurred_at >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            query.push(" AND occurred_at < ").push_bind(to.end(clinic));
        }
        if let Some(Cursor((Time(occurred_at), Id(id)))) = self.cursor {
            query
                .push(" AND (occurred_at, id) < (")
                .push_bind(occurred_at);
            query.push(", ").push_bind(id).push(")");
        }
    }
}

fn push_order(query: &mut QueryBuilder<Postgres>, limit: i64) {
    query
        .push(" ORDER BY occurred_at DESC, id DESC LIMIT ")
        .push_bind(limit);
}

/// Planned with what is asked for: of an action that is rare and one that is not, PostgreSQL reads
/// different indexes.
async fn fetch(mut query: QueryBuilder<Postgres>, database: &PgPool) -> Result<Vec<Row>, Problem> {
    let query = query.build_query_as().persistent(false);
    Ok(query.fetch_all(database).await?)
}

/// What those are called who did all this. A name is no part of the trail: who has another one by
/// now is shown with that.
async fn names_of(rows: &[Row], database: &PgPool) -> Result<HashMap<Uuid, String>, Problem> {
    let actors: HashSet<Uuid> = rows.iter().filter_map(|row| row.actor_id).collect();
    let names = sqlx::query!(
        r#"SELECT user_id AS "user!", name AS "name!" FROM auth.names_of($1)"#,
        &Vec::from_iter(actors),
    )
    .fetch_all(database)
    .await?;
    Ok(names.into_iter().map(|row| (row.user, row.name)).collect())
}

/// A record as it is stored.
#[derive(FromRow)]
struct Row {
    id: Uuid,
    occurred_at: DateTime<Utc>,
    actor_id: Option<Uuid>,
    actor_role: Option<String>,
    action: String,
    outcome: String,
    problem: Option<String>,
    patient_ids: Vec<Uuid>,
    account_id: Option<Uuid>,
    resource_type: Option<String>,
    resource_id: Option<Uuid>,
    reason: Option<String>,
    source: Option<String>,
    request_id: Option<String>,
}

impl Row {
    /// The record; 500 for a role, an action, an outcome or a type that there is none of.
    fn read(self, names: &HashMap<Uuid, String>) -> Result<AuditRecord, Problem> {
        let name = self.actor_id.and_then(|actor| names.get(&actor));
        let role = self.actor_role.map(|role| role.parse()).transpose();
        let kind = self.resource_type.map(|kind| kind.parse()).transpose();
        Ok(AuditRecord {
            id: self.id,
            occurred_at: self.occurred_at,
            actor_id: self.actor_id,
            actor_name: name.cloned(),
            actor_role: role.map_err(Problem::internal)?,
            action: self.action.parse().map_err(Problem::internal)?,
            outcome: self.outcome.parse().map_err(Problem::internal)?,
            problem: self.problem,
            patient_ids: self.patient_ids,
            account_id: self.account_id,
            resource_type: kind.map_err(Problem::internal)?,
            resource_id: self.resource_id,
            reason: self.reason,
            source: self.source,
            request_id: self.request_id,
        })
    }
}

//! `POST /api/waitlist`: puts a patient on the waitlist for a service.

use api::{
    Id, Input, InputErrors, Problem, ProblemDocument, State,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{Action, Resource, ResourceType, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::{DateTime, Days, NaiveDate, Utc};
use http::StatusCode;
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{clock, patient, schema::SCHEMA, stored_answer::begin};

/// The longest time that somebody waits, in days.
const LONGEST: i64 = 366;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/waitlist")
    .function("join-waitlist")
    .requires(Permission::ManageAppointments)
    .records(Action::ChangeWaitlist)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(join_waitlist, database.clone(), database)
}

/// What a patient waits for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "serviceId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad",
    "from": "2027-03-01",
    "to": "2027-03-31"
}))]
pub(crate) struct Wait {
    /// The patient.
    #[schema(value_type = Uuid)]
    patient_id: Id,
    /// What they wait for.
    #[schema(value_type = Uuid)]
    service_id: Id,
    /// With whom, if it matters.
    #[schema(value_type = Option<Uuid>)]
    resource_id: Option<Id>,
    /// The first date on which they can come.
    #[schema(value_type = NaiveDate)]
    from: String,
    /// The last date on which they can come, at most a year later.
    #[schema(value_type = NaiveDate)]
    to: String,
}

/// A patient's place on the waitlist.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "WaitlistEntry", as = WaitlistEntry, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1b0",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "serviceId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ad",
    "resourceId": null,
    "from": "2027-03-01",
    "to": "2027-03-31",
    "createdAt": "2027-01-10T09:30:00.123456Z"
}))]
pub(crate) struct Entry {
    /// Identifies the entry.
    pub(crate) id: Uuid,
    /// The patient.
    pub(crate) patient_id: Uuid,
    /// What they wait for.
    pub(crate) service_id: Uuid,
    /// With whom, if it matters.
    #[schema(required)]
    pub(crate) resource_id: Option<Uuid>,
    /// The first date on which they can come.
    #[serde(rename = "from")]
    pub(crate) first_day: NaiveDate,
    /// The last date on which they can come.
    #[serde(rename = "to")]
    pub(crate) last_day: NaiveDate,
    /// Since when they wait.
    pub(crate) created_at: DateTime<Utc>,
}

/// Join the waitlist
///
/// The list suggests slots as they become free. The entry ends when the service is booked for the
/// patient in that time.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "appointments",
    params(IdempotencyKey),
    request_body = Wait,
    responses(
        (status = 201, description = "The patient is on the list", body = Entry),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not keep the waitlist, or not for this patient: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "There is no such patient, service or resource", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn join_waitlist(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    work: UnitOfWork,
    Input(wait): Input<Wait>,
) -> Result<Response, Interrupted> {
    let (first_day, last_day) = wait.days()?;
    let Id(patient) = wait.patient_id;
    trail.about(Subject::Patient(patient));

    let mut transaction = begin(work, caller, &database, &trail).await?;
    patient::must_be_seen(caller, patient, &mut transaction).await?;
    let entry = sqlx::query_as!(
        Entry,
        "INSERT INTO appointments.waitlist_entry
             (id, patient_id, service_id, resource_id, first_day, last_day)
         SELECT $1, $2, service.id, $4, $5, $6 FROM appointments.service
         WHERE service.id = $3
             AND ($4::uuid IS NULL OR EXISTS (
                 SELECT FROM appointments.resource
                 WHERE id = $4 AND kind = ANY(service.resource_kinds)
             ))
         RETURNING id, patient_id, service_id, resource_id, first_day, last_day, created_at",
        Uuid::now_v7(),
        patient,
        wait.service_id.0,
        wait.resource_id.map(|Id(id)| id),
        first_day,
        last_day,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| Problem::not_found("Service or resource not found"))?;
    let resource = Resource {
        kind: ResourceType::WaitlistEntry,
        id: entry.id,
    };
    let subject = Subject::ResourceOfPatient(resource, patient);
    trail.succeeded(&mut *transaction, subject).await?;
    let answer = (StatusCode::CREATED, Json(entry));
    Ok(transaction.commit(patient, answer).await?)
}

impl Wait {
    fn days(&self) -> Result<(NaiveDate, NaiveDate), Problem> {
        let mut errors = InputErrors::default();
        let from = errors.field("from", api::day(&self.from));
        let to = errors.field("to", api::day(&self.to));
        let (from, to) = from.zip(to).ok_or_else(|| errors.into_problem())?;
        // It may still be yesterday where the location is.
        if to < clock::now().date_naive() - Days::new(1) {
            return Err(Problem::invalid_field("to", "Must not be in the past"));
        }
        if !(0..=LONGEST).contains(&(to - from).num_days()) {
            let detail = "Must be the same date or a later one, at most a year later";
            return Err(Problem::invalid_field("to", detail));
        }
        Ok((from, to))
    }
}

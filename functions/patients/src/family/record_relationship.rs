//! `POST /api/patients/{id}/relationships`: says what another patient is to this one.

use api::{
    Id, Input, PathId, Problem, ProblemDocument,
    layers::{Once, Permitted, Recorded},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::{Json, Router, response::Response};
use chrono::NaiveDate;
use http::{StatusCode, header};
use idempotency::{IdempotencyKey, Interrupted, UnitOfWork};
use identity::{Caller, Permission};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Clash, Days, MOST_RELATIONSHIPS, Pair, Period, Role};
use crate::{patient_lock, schema::SCHEMA, stored_answer::begin};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Once> = Route::post("/api/patients/{id}/relationships")
    .function("record-relationship")
    .requires(Permission::UpdatePatient)
    .records(Action::ChangeFamily)
    .about(About::PatientInPath)
    .once_in(SCHEMA);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(record_relationship, (), database)
}

/// What another patient is to this one. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "role": "PARENT",
    "from": null,
    "to": null
}))]
pub(crate) struct RelationshipInput {
    /// The other patient.
    #[schema(value_type = Uuid)]
    patient_id: Id,
    /// What the other patient is to this one: with `PARENT`, they are this patient's parent.
    role: Role,
    /// The first day, `YYYY-MM-DD`; missing or null if it is unknown.
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day; missing or null if it is not over.
    #[schema(format = Date)]
    to: Option<String>,
}

/// What another patient is to a patient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Relationship", as = Relationship, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1c0",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "role": "PARENT",
    "from": null,
    "to": null
}))]
pub(crate) struct Relationship {
    /// Identifies the relationship, from both sides.
    id: Uuid,
    /// The other patient.
    patient_id: Uuid,
    /// What the other patient is to this one.
    role: Role,
    /// The first day; null if it is unknown.
    #[schema(required)]
    from: Option<NaiveDate>,
    /// The last day; null if it is not over.
    #[schema(required)]
    to: Option<NaiveDate>,
}

/// Record a relationship
///
/// The other patient sees it from their side: who has a parent is that parent's child. Two patients
/// may be related in several ways, but not twice in the same way at the same time.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "families",
    params(("id" = Uuid, Path, description = "The patient's id"), IdempotencyKey),
    request_body = RelationshipInput,
    responses(
        (status = 201, description = "The relationship is recorded", body = Relationship,
         headers(("Location" = String, description = "Where it can be deleted"))),
        (status = 400, description = "A field is invalid, or a patient would be related to themselves", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not one of these: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "One of the patients does not exist, or was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "They are related in this way already, or the other way round; one of them has too many relationships; the record of one of them was merged into another one; or the same request is being processed", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn record_relationship(
    caller: Caller,
    PathId(id): PathId,
    trail: Trail,
    work: UnitOfWork,
    Input(input): Input<RelationshipInput>,
) -> Result<Response, Interrupted> {
    let (other, role) = (input.patient_id.0, input.role);
    let days = Period {
        from: input.from,
        to: input.to,
    }
    .parse()?;
    if other == id {
        let detail = "Nobody is related to themselves";
        return Err(Problem::invalid_field("patientId", detail).into());
    }

    let mut transaction = begin(work, caller, &trail, Some(id)).await?;
    patient_lock::hold(&mut transaction, caller, &[id, other]).await?;
    let pair = Pair::of(id, other, role);
    pair.must_be_new(&mut transaction, days).await?;
    must_have_room(&mut transaction, &[id, other]).await?;
    let relationship = Relationship {
        id: Uuid::now_v7(),
        patient_id: other,
        role,
        from: days.from,
        to: days.to,
    };
    sqlx::query!(
        "INSERT INTO patients.relationship (id, lower_id, upper_id, role, valid_from, valid_to)
         VALUES ($1, $2, $3, $4, $5, $6)",
        relationship.id,
        pair.lower,
        pair.upper,
        pair.role.name(),
        days.from,
        days.to,
    )
    .execute(&mut *transaction)
    .await?;
    trail
        .succeeded(&mut *transaction, Subject::Patients(&[id, other]))
        .await?;
    // Relative to the request's own URL, so that it is correct behind any stage or domain.
    let at = [(
        header::LOCATION,
        format!("relationships/{}", relationship.id),
    )];
    let answer = (StatusCode::CREATED, at, Json(relationship));
    Ok(transaction.commit(id, answer).await?)
}

impl Pair {
    /// Both patients are locked, so that nobody else relates them meanwhile.
    async fn must_be_new(&self, transaction: &mut Transaction, days: Days) -> Result<(), Problem> {
        match self.clash(transaction, days).await? {
            None => Ok(()),
            Some(Clash::Same(..)) => Err(Problem::conflict(
                "role",
                "They are related in this way already",
            )),
            Some(Clash::Inverse) => Err(Problem::conflict(
                "role",
                "They are related the other way round",
            )),
        }
    }
}

async fn must_have_room(transaction: &mut Transaction, patients: &[Uuid]) -> Result<(), Problem> {
    for &patient in patients {
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM patients.relationship
               WHERE lower_id = $1 OR upper_id = $1"#,
            patient,
        )
        .fetch_one(&mut *transaction)
        .await?;
        if count >= MOST_RELATIONSHIPS {
            let message = format!("A patient has at most {MOST_RELATIONSHIPS} relationships");
            return Err(Problem::conflict("patientId", &message));
        }
    }
    Ok(())
}

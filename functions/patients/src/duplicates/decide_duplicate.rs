//! `PUT /api/patients/duplicate-candidates/decision`: says that two patients are two, and not one.

use api::{
    Id, Input, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;
use utoipa::ToSchema;

use crate::patient_lock;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::put("/api/patients/duplicate-candidates/decision")
        .function("decide-duplicate")
        .requires(Permission::UpdatePatient)
        .records(Action::DecideDuplicate);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(decide_duplicate, database.clone(), database)
}

/// What is decided about two patients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = DuplicateDecision)]
pub(crate) enum Decision {
    /// They are two patients: they are not listed again, however alike they are.
    NotDuplicate,
    /// It is open, as if nobody had decided.
    Open,
}

/// A decision about two patients. Any other field is rejected.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "patientIds": ["0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa", "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"],
    "decision": "NOT_DUPLICATE"
}))]
pub(crate) struct DecisionInput {
    /// The two patients.
    #[schema(value_type = Vec<Uuid>, min_items = 2, max_items = 2)]
    patient_ids: Vec<Id>,
    /// What is decided.
    decision: Decision,
}

/// Decide about a pair
///
/// That two patients are not one is remembered, also if they change. Whether the pair is listed, or
/// was ever found, does not matter.
#[utoipa::path(
    put, path = ROUTE.path(), tag = "duplicates",
    request_body = DecisionInput,
    responses(
        (status = 204, description = "It is decided"),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not one of these: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "One of the patients does not exist, or was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The record of one of them was merged into another one", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn decide_duplicate(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    Input(input): Input<DecisionInput>,
) -> Result<StatusCode, Problem> {
    let two = "`patientIds` must be the ids of two different patients";
    let [Id(one), Id(other)] = *input.patient_ids else {
        return Err(Problem::invalid_field("patientIds", two));
    };
    if one == other {
        return Err(Problem::invalid_field("patientIds", two));
    }
    let (lower, upper) = (one.min(other), one.max(other));
    let mut transaction = Transaction::begin(&database).await?;
    patient_lock::hold(&mut transaction, caller, &[lower, upper]).await?;
    sqlx::query!(
        "INSERT INTO patients.duplicate_candidate AS pair
             (lower_id, upper_id, decided_by, decided_at)
         VALUES ($1, $2, $3, CASE WHEN $4 THEN now() END)
         ON CONFLICT ON CONSTRAINT duplicate_candidate_pkey
         DO UPDATE SET decided_by = EXCLUDED.decided_by, decided_at = EXCLUDED.decided_at",
        lower,
        upper,
        caller.user,
        input.decision == Decision::NotDuplicate,
    )
    .execute(&mut transaction)
    .await?;
    if input.decision == Decision::Open {
        // Whether they are still alike is looked at anew.
        sqlx::query!(
            "INSERT INTO patients.duplicate_check (patient_id) VALUES ($1)",
            lower,
        )
        .execute(&mut transaction)
        .await?;
    }
    trail
        .succeeded(&mut transaction, Subject::Patients(&[lower, upper]))
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

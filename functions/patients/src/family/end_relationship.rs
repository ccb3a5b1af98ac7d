//! `DELETE /api/patients/{id}/relationships/{relationshipId}`: takes back that two patients are
//! related.

use api::{
    Id, PathInput, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, Subject, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use store::Transaction;

use crate::patient_lock;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::delete("/api/patients/{id}/relationships/{relationshipId}")
        .function("end-relationship")
        .requires(Permission::UpdatePatient)
        .records(Action::ChangeFamily)
        .about(About::PatientInPath);

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(end_relationship, database.clone(), database)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    id: Id,
    relationship_id: Id,
}

/// Delete a relationship
///
/// Removes it for both patients. To record that a relationship has ended, delete it, and record it
/// again with `to`.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "families",
    params(
        ("id" = Uuid, Path, description = "The patient's id"),
        ("relationshipId" = Uuid, Path, description = "The relationship's id"),
    ),
    responses(
        (status = 204, description = "They are not related in this way any more"),
        (status = 400, description = "An id is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not one of these: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient has no such relationship, or one of the two was deleted: the type says which", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "The record of one of them was merged into another one", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn end_relationship(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathInput(place): PathInput<Place>,
) -> Result<StatusCode, Problem> {
    let (Id(patient), Id(id)) = (place.id, place.relationship_id);
    let mut transaction = Transaction::begin(&database).await?;
    let related = sqlx::query!(
        "SELECT lower_id, upper_id FROM patients.relationship
         WHERE id = $1 AND $2 IN (lower_id, upper_id)",
        id,
        patient,
    )
    .fetch_optional(&mut transaction)
    .await?
    .ok_or_else(no_relationship)?;
    let both = [related.lower_id, related.upper_id];
    patient_lock::hold(&mut transaction, caller, &both).await?;
    let ended = sqlx::query!("DELETE FROM patients.relationship WHERE id = $1", id)
        .execute(&mut transaction)
        .await?;
    if ended.rows_affected() == 0 {
        return Err(no_relationship());
    }
    trail
        .succeeded(&mut transaction, Subject::Patients(&both))
        .await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn no_relationship() -> Problem {
    Problem::not_found("Relationship not found")
}

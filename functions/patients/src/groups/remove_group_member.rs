//! `DELETE /api/groups/{id}/members/{patientId}`: takes a patient out of a group.

use api::{
    Id, PathInput, Problem, ProblemDocument, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{About, Action, ResourceType, Subject, Trail};
use axum::Router;
use http::StatusCode;
use identity::{Caller, Permission};
use patient_access::must_see;
use route::Route;
use sqlx::PgPool;
use store::Transaction;

use super::{add_group_member::Place, on_record};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> =
    Route::delete("/api/groups/{id}/members/{patientId}")
        .function("remove-group-member")
        .requires(Permission::UpdatePatient)
        .records(Action::ChangeGroup)
        .about(About::ResourceInPath(ResourceType::Group));

/// Serves the route.
pub fn routes(database: PgPool) -> Router {
    ROUTE.served_by(remove_group_member, database.clone(), database)
}

/// Take a patient out of a group
///
/// As if they had never been in it. A membership that has ended gets a last day instead.
#[utoipa::path(
    delete, path = ROUTE.path(), tag = "groups",
    params(
        ("id" = Uuid, Path, description = "The group's id"),
        ("patientId" = Uuid, Path, description = "The patient's id"),
    ),
    responses(
        (status = 204, description = "The patient is not in the group"),
        (status = 400, description = "An id is invalid", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "The role may not change patients, or not this one: the record is restricted", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "The patient is not in such a group", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_group_member(
    caller: Caller,
    State(database): State<PgPool>,
    trail: Trail,
    PathInput(place): PathInput<Place>,
) -> Result<StatusCode, Problem> {
    let (Id(group), Id(patient)) = (place.id, place.patient_id);
    let mut transaction = Transaction::begin(&database).await?;
    must_see(caller, patient, &mut transaction).await?;
    let removed = sqlx::query!(
        "DELETE FROM patients.group_member WHERE group_id = $1 AND patient_id = $2",
        group,
        patient,
    )
    .execute(&mut transaction)
    .await?;
    if removed.rows_affected() == 0 {
        return Err(Problem::not_found("The patient is not in the group"));
    }
    let subject = Subject::ResourceOfPatient(on_record(group), patient);
    trail.succeeded(&mut transaction, subject).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Whose data a caller may see.
//!
//! A role says what somebody may do with patients; this says with which of them. A patient's record
//! can be restricted (a colleague's, or that of somebody in the news): then only callers with
//! [`Permission::SeeRestrictedPatients`] may see it, whatever their role lets them do with other
//! patients. In an emergency, a clinician may open it for a stated reason.

use api::Problem;
use identity::{Caller, Permission};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Rejects callers who may not see this patient. For services that hold data about patients but not
/// the record itself: they call the function that the patients service publishes in its schema. A
/// patient who never existed is not restricted.
///
/// # Errors
/// 403 if the caller may not see the patient; or if the database does not respond.
pub async fn must_see(
    caller: Caller,
    patient: Uuid,
    database: impl PgExecutor<'_>,
) -> Result<(), Problem> {
    if caller.role.may(Permission::SeeRestrictedPatients) {
        return Ok(());
    }
    let restricted = sqlx::query_scalar("SELECT patients.is_restricted($1)")
        .bind(patient)
        .fetch_one(database)
        .await?;
    must_see_if(caller, restricted)
}

/// Every id that a patient has: records may have been merged, and what other services keep stays under
/// the id that it was kept under. For services that list what they have of a patient.
///
/// # Errors
/// If the database does not respond.
pub async fn ids_of(
    patient: Uuid,
    database: impl PgExecutor<'_>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT patients.ids_of($1)")
        .bind(patient)
        .fetch_one(database)
        .await
}

/// Rejects callers who may not see a patient, given whether the record is restricted.
///
/// # Errors
/// 403 if the caller may not see the patient.
pub fn must_see_if(caller: Caller, restricted: bool) -> Result<(), Problem> {
    if !restricted || caller.role.may(Permission::SeeRestrictedPatients) {
        return Ok(());
    }
    Err(Problem::forbidden().with_detail(
        "This patient's record is restricted; in an emergency a clinician may open it with \
         emergency-access, stating the reason",
    ))
}

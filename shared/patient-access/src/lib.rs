//! Whose data a caller may see.
//!
//! A role says what somebody may do with patients; this, with which of them. The record of
//! a patient can be restricted (of a colleague, of somebody who is in the papers): then it
//! is for those alone who have [`Permission::SeeRestrictedPatients`], whatever their role
//! lets them do with others. In an emergency a clinician opens it for a stated reason.

use api::Problem;
use identity::{Caller, Permission};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Lets callers on who may see this patient. For services that hold data about patients
/// and not the record itself: they ask the patients service's schema, by the function that
/// it publishes. A patient who never existed is not restricted.
///
/// # Errors
/// 403 for who may not; if the database does not answer.
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

/// Lets callers on who may see a patient whose record is restricted, or is not.
///
/// # Errors
/// 403 for who may not.
pub fn must_see_if(caller: Caller, restricted: bool) -> Result<(), Problem> {
    if !restricted || caller.role.may(Permission::SeeRestrictedPatients) {
        return Ok(());
    }
    Err(Problem::forbidden().with_detail(
        "This patient's record is restricted; in an emergency a clinician may open it with \
         emergency-access, stating the reason",
    ))
}

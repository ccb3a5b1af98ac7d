//! What this service has to know of patients, from the functions that theirs publishes.

use api::Problem;
use identity::{Caller, Permission};
use patient_access::must_see_if;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

/// Rejects patients who do not exist, and those whom the caller may not see.
///
/// From here on, PostgreSQL plans each statement of the transaction once for each connection. By itself
/// it would plan most of a booking's statements every time, because they name rows by arrays of unknown
/// length, and that takes longer than all the rest. They have one good plan, whatever they ask for.
///
/// # Errors
/// 404 or 403; or if the database does not respond.
pub(crate) async fn must_be_seen(
    caller: Caller,
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    let sees_all = caller.role.may(Permission::SeeRestrictedPatients);
    let (_, known, restricted): (String, bool, bool) = sqlx::query_as(
        "SELECT set_config('plan_cache_mode', 'force_generic_plan', true),
                patients.is_known($1),
                CASE WHEN $2 THEN false ELSE patients.is_restricted($1) END",
    )
    .bind(patient)
    .bind(sees_all)
    .fetch_one(transaction)
    .await?;
    must_be_known(known)?;
    must_see_if(caller, restricted)
}

/// Rejects patients who do not exist.
///
/// # Errors
/// 404.
pub(crate) fn must_be_known(known: bool) -> Result<(), Problem> {
    if known {
        return Ok(());
    }
    Err(Problem::not_found("Patient not found"))
}

/// Which of these patients the caller may not see.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn hidden(
    caller: Caller,
    patients: &[Uuid],
    database: &PgPool,
) -> Result<Vec<Uuid>, sqlx::Error> {
    if caller.role.may(Permission::SeeRestrictedPatients) {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "SELECT patient FROM unnest($1::uuid[]) AS of (patient) WHERE patients.is_restricted(patient)",
    )
    .bind(patients)
    .fetch_all(database)
    .await
}

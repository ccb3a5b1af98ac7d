//! What this service has to know of patients, from the functions that theirs publishes.

use api::Problem;
use identity::Caller;
use patient_access::must_see;
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

/// Rejects patients who do not exist, and those whom the caller may not see.
///
/// # Errors
/// 404 or 403; or if the database does not respond.
pub(crate) async fn must_be_seen(
    caller: Caller,
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    must_be_known(patient, transaction).await?;
    must_see(caller, patient, &mut *transaction).await
}

/// Rejects patients who do not exist. Within the lock on the patient, they still exist when the
/// appointment is booked, or whoever cancels it for their deletion comes later.
///
/// # Errors
/// 404; or if the database does not respond.
pub(crate) async fn must_be_known(
    patient: Uuid,
    transaction: &mut Transaction,
) -> Result<(), Problem> {
    let known: bool = sqlx::query_scalar("SELECT patients.is_known($1)")
        .bind(patient)
        .fetch_one(&mut *transaction)
        .await?;
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
    if caller.role.may(identity::Permission::SeeRestrictedPatients) {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(
        "SELECT patient FROM unnest($1::uuid[]) AS of (patient) WHERE patients.is_restricted(patient)",
    )
    .bind(patients)
    .fetch_all(database)
    .await
}

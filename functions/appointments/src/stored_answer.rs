//! A stored response may contain a patient's appointment, so only callers who may see the patient
//! now get it.

use audit_trail::{Subject, Trail};
use idempotency::{Interrupted, Transaction, UnitOfWork};
use identity::Caller;
use patient_access::must_see;
use sqlx::PgPool;

/// Begins the work on a patient's appointment, or on one that is about to be booked.
///
/// # Errors
/// Those of [`UnitOfWork::begin`]; 403 if the caller may not see the patient in the stored
/// response.
pub(crate) async fn begin(
    work: UnitOfWork,
    caller: Caller,
    database: &PgPool,
    trail: &Trail,
) -> Result<Transaction, Interrupted> {
    let begun = work.begin().await;
    if let Err(Interrupted::Answered(answer)) = &begun
        && let Some(patient) = answer.subject()
    {
        trail.about(Subject::Patient(patient));
        must_see(caller, patient, database).await?;
    }
    begun
}

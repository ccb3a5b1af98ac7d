//! An answer that was given before holds a patient's data: it is for those alone who may
//! see the patient now.

use audit_trail::{Subject, Trail};
use idempotency::{Interrupted, Transaction, UnitOfWork};
use identity::Caller;
use patient_access::must_see;
use sqlx::PgPool;
use uuid::Uuid;

/// Begins the work on this patient, or on one who is to be registered.
///
/// # Errors
/// As [`UnitOfWork::begin`]; 403 for who may not see the patient in the stored answer.
pub(crate) async fn begin(
    work: UnitOfWork,
    caller: Caller,
    database: &PgPool,
    trail: &Trail,
    patient: Option<Uuid>,
) -> Result<Transaction, Interrupted> {
    let begun = work.begin().await;
    if let Err(Interrupted::Answered(answer)) = &begun
        && let Some(patient) = patient.or(answer.subject())
    {
        // The path of a registration does not name them.
        trail.about(Subject::Patient(patient));
        must_see(caller, patient, database).await?;
    }
    begun
}

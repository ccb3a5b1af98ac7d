//! A stored response contains a patient's data, so only callers who may see the patient now get it.

use audit_trail::{Subject, Trail};
use idempotency::{Interrupted, Transaction, UnitOfWork};
use identity::Caller;
use patient_access::{must_see, must_see_if};
use uuid::Uuid;

use crate::patient::deleted;

/// Begins the work on this patient, or on one who is about to be registered.
///
/// # Errors
/// Those of [`UnitOfWork::begin`]; 403 if the caller may not see the patient in the stored
/// response; 404 if that patient is erased.
pub(crate) async fn begin(
    work: UnitOfWork,
    caller: Caller,
    trail: &Trail,
    patient: Option<Uuid>,
) -> Result<Transaction, Interrupted> {
    let begun = work.begin().await;
    if let Err(Interrupted::Answered(answer)) = &begun {
        if let Some(patient) = patient.or(answer.subject()) {
            // The path of a registration does not name the patient.
            trail.about(Subject::Patient(patient));
            must_see(caller, patient, trail.database()).await?;
        } else {
            // An earlier version has stored it, and nobody knows whose data it contains.
            must_see_if(caller, true)?;
        }
        if answer.is_erased() {
            return Err(deleted().into());
        }
    }
    begun
}

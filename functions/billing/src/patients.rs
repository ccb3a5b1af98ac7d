//! Whose data is on a page, and asked for.

use uuid::Uuid;

/// Each of these patients once.
pub(crate) fn each_once(patients: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut patients: Vec<Uuid> = patients.collect();
    patients.sort_unstable();
    patients.dedup();
    patients
}

/// The patient as the service reads it; nothing for no patient.
pub(crate) fn text_of(patient: Option<Uuid>) -> String {
    patient.map(|id| id.to_string()).unwrap_or_default()
}

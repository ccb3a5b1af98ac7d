//! Whose data is on a page.

use uuid::Uuid;

/// Each of these patients once.
pub(crate) fn each_once(patients: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut patients: Vec<Uuid> = patients.collect();
    patients.sort_unstable();
    patients.dedup();
    patients
}

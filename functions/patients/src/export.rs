//! Exporting patients to a file, in the background.
//!
//! [`run_exports`] goes through the patients by id and writes the file part by part. What is in the
//! file so far is written with whose data it is, in the audit trail: a run that is killed goes on
//! with the part that it was at.

mod answer;
pub mod get_export;
pub mod run_exports;
pub mod start_export;
mod table;

use audit_trail::{Resource, ResourceType};
use uuid::Uuid;

/// Where the file of an export is.
fn key(id: Uuid) -> String {
    format!("exports/{id}")
}

/// The export as an entry in the audit trail names it.
const fn on_record(id: Uuid) -> Resource {
    Resource {
        kind: ResourceType::PatientExport,
        id,
    }
}

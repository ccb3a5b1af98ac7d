//! Exporting patients to a file, in the background.
//!
//! [`run_exports`] goes through the patients by id and writes the file part by part. The progress is
//! stored together with the audit record of whose data is in the file: after a run that was killed, the
//! next one continues with the same part.

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

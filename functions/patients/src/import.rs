//! Importing patients from a file, in the background.
//!
//! A client says what kind of file it has, and uploads it to a bucket. [`run_imports`] looks at all
//! of the file first, and refuses it as a whole if it cannot be read; then it takes line after line.
//! A batch of lines, what it created, what became of each line, and where the next one begins are
//! one transaction: a run that is killed has done nothing of the batch that it was at, and the next
//! run goes on there.

mod answer;
mod batch;
mod date_format;
pub mod get_import;
pub(crate) mod layout;
mod line;
mod outcomes;
mod records;
pub mod run_imports;
pub mod start_import;

use audit_trail::{Resource, ResourceType};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The most lines of a file, not counting its header.
const MOST_LINES: u64 = 100_000;

/// The largest file, in bytes.
const MOST_BYTES: i64 = 100 * 1024 * 1024;

/// How a file is laid out.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
#[schema(as = PatientFileFormat)]
pub(crate) enum FileFormat {
    /// A table with a header, separated by commas, semicolons, tabs or bars.
    Csv,
    /// A JSON object per line, in UTF-8.
    Ndjson,
}

impl FileFormat {
    /// The name in the database and the API.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// What such a file is sent as.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// How the name of such a file ends.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

/// Where the file of an import is.
fn upload_key(id: Uuid) -> String {
    format!("imports/{id}/upload")
}

/// Where it is said what became of each line.
fn outcomes_key(id: Uuid) -> String {
    format!("imports/{id}/outcomes")
}

/// The import as an entry in the audit trail names it.
const fn on_record(id: Uuid) -> Resource {
    Resource {
        kind: ResourceType::PatientImport,
        id,
    }
}

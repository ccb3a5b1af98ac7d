//! Where a request says whose data it is about.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Subject;

/// Where a request names the patient or the account that it is about. What is refused, by the
/// gateway or by a handler, is on record with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum About {
    /// Nowhere: it is about nobody, or about many.
    #[default]
    Nobody,
    /// A patient, in the path: `{id}`.
    PatientInPath,
    /// An account, in the path: `{id}`.
    AccountInPath,
    /// A patient, in the query: `patientId`.
    PatientInQuery,
}

impl About {
    /// Whoever has the id that the request names.
    #[must_use]
    pub const fn whoever_is(self, id: Uuid) -> Subject<'static> {
        match self {
            Self::Nobody => Subject::Nobody,
            Self::AccountInPath => Subject::Account(id),
            Self::PatientInPath | Self::PatientInQuery => Subject::Patient(id),
        }
    }
}

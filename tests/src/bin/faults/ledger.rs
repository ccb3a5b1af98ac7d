//! What each client requested, and the outcome that it was told.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use system_tests::{NewPatient, Patient};
use uuid::Uuid;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Create,
    Update,
    Delete,
    Restore,
}

impl Kind {
    /// The function that serves it.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Create => "create-patient",
            Self::Update => "update-patient",
            Self::Delete => "delete-patient",
            Self::Restore => "restore-patient",
        }
    }
}

/// A change that a client requested, with one idempotency key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    /// Its name in the report.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The `Idempotency-Key` of all its attempts.
    pub(crate) key: Uuid,
    /// The patient; for a creation, the created patient, if the client knows.
    pub(crate) patient_id: Option<Uuid>,
    /// The requested data. No two changes request the same, so that stored data identifies the
    /// change that made it.
    #[serde(skip)]
    pub(crate) wanted: Option<NewPatient>,
    /// Whether it was conditional on one version of the patient.
    pub(crate) conditional: bool,
    /// When it was first requested.
    pub(crate) begun: DateTime<Utc>,
    pub(crate) attempts: u32,
    pub(crate) outcome: Outcome,
}

/// The outcome as far as the client knows.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// The API reported success.
    Acknowledged {
        /// The patient after it, unless they are deleted.
        #[serde(skip)]
        patient: Option<Box<Patient>>,
    },
    /// The API rejected it.
    Refused {
        status: u16,
        /// The problem's type.
        problem: String,
    },
    /// The client left before there was a response.
    Unknown,
}

impl Change {
    /// The patient after the change, as returned by the API.
    pub(crate) fn acknowledged(&self) -> Option<&Patient> {
        match &self.outcome {
            Outcome::Acknowledged { patient } => patient.as_deref(),
            _ => None,
        }
    }

    /// Whether the API reported success.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    /// Whether the outcome is unknown.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

/// All finished changes.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Change>>);

impl Ledger {
    /// Adds a finished change.
    pub(crate) fn add(&self, change: Change) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push(change);
    }

    /// The number of finished changes.
    pub(crate) fn len(&self) -> usize {
        let changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.len()
    }

    /// All of them.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.clone()
    }
}

//! What each client wanted, and what it was told became of it.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;
use system_tests::{NewPatient, Patient};
use uuid::Uuid;

/// What a client wants with a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    Create,
    Update,
    Delete,
}

impl Kind {
    /// The function that serves it.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Create => "create-patient",
            Self::Update => "update-patient",
            Self::Delete => "delete-patient",
        }
    }
}

/// A change that a client asked for, under one idempotency key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Change {
    /// Names it in the report.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The `Idempotency-Key` of all its attempts.
    pub(crate) key: Uuid,
    /// Whom it changes; for a creation, whom it made, as far as the client knows.
    pub(crate) patient_id: Option<Uuid>,
    /// What the patient shall be like. No two changes want the same, so that what is found
    /// tells whose work it is.
    #[serde(skip)]
    pub(crate) wanted: Option<NewPatient>,
    /// Whether it was only to happen to one version of the patient.
    pub(crate) conditional: bool,
    /// When it was asked for first.
    pub(crate) begun: DateTime<Utc>,
    pub(crate) attempts: u32,
    pub(crate) outcome: Outcome,
}

/// What the client knows.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// The API said that it has happened.
    Acknowledged {
        /// The patient after it, unless they are deleted.
        #[serde(skip)]
        patient: Option<Box<Patient>>,
    },
    /// The API said that it does not happen.
    Refused {
        status: u16,
        /// The problem's type.
        problem: String,
    },
    /// The client went away before there was an answer.
    Unknown,
}

impl Change {
    /// The patient after it, as the API told.
    pub(crate) fn acknowledged(&self) -> Option<&Patient> {
        match &self.outcome {
            Outcome::Acknowledged { patient } => patient.as_deref(),
            _ => None,
        }
    }

    /// Whether the API said that it has happened.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    /// Whether nobody knows what became of it.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown)
    }
}

/// All changes that are over.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Change>>);

impl Ledger {
    /// Writes down what became of a change.
    pub(crate) fn add(&self, change: Change) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.push(change);
    }

    /// How many changes are over.
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

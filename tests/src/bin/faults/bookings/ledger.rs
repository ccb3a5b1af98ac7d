//! What each booking client requested, and the outcome that it was told.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Change {
    Book,
    Hold,
    Confirm,
    Move,
    Cancel,
    Arrive,
    /// A clinician is absent.
    Absent,
    /// A clinician is not absent after all.
    Return,
}

impl Change {
    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Book => "booked",
            Self::Hold => "held",
            Self::Confirm => "confirmed",
            Self::Move => "moved",
            Self::Cancel => "cancelled",
            Self::Arrive => "arrived",
            Self::Absent => "somebody absent",
            Self::Return => "absence taken back",
        }
    }

    /// The function that serves it.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Book | Self::Hold => "book-appointment",
            Self::Confirm => "confirm-appointment",
            Self::Move => "reschedule-appointment",
            Self::Cancel => "cancel-appointment",
            Self::Arrive => "record-arrival",
            Self::Absent => "record-absence",
            Self::Return => "remove-absence",
        }
    }

    /// The last part of the path.
    pub(super) const fn verb(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Move => "reschedule",
            Self::Arrive => "arrive",
            _ => "cancel",
        }
    }

    /// Its name in the history of an appointment.
    pub(crate) const fn in_history(self) -> Option<&'static str> {
        match self {
            Self::Book => Some("BOOKED"),
            Self::Hold => Some("HELD"),
            Self::Confirm => Some("CONFIRMED"),
            Self::Move => Some("RESCHEDULED"),
            Self::Cancel => Some("CANCELLED"),
            Self::Arrive => Some("ARRIVED"),
            Self::Absent | Self::Return => None,
        }
    }
}

/// An appointment as the API returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) patient_id: Uuid,
    pub(crate) status: String,
    pub(crate) start: DateTime<Utc>,
    pub(crate) resource_ids: Vec<Uuid>,
}

/// A change that a booking client requested, with one idempotency key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// Its name in the report.
    pub(crate) name: String,
    pub(crate) change: Change,
    /// The `Idempotency-Key` of all its attempts.
    pub(crate) key: Uuid,
    /// The appointment that it was to change.
    pub(crate) appointment: Option<Uuid>,
    /// The absence that was recorded or removed.
    pub(crate) absence: Option<Uuid>,
    /// The start that was asked for.
    pub(crate) wanted: Option<DateTime<Utc>>,
    pub(crate) patient: Option<Uuid>,
    /// Whether others may have deleted the patient.
    pub(crate) may_be_gone: bool,
    /// Whether it was conditional on one version of the appointment.
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
        /// The appointment after it.
        state: Option<State>,
    },
    /// The API rejected it.
    Refused {
        status: u16,
        /// The name of the problem.
        problem: String,
    },
    /// There was no response for minutes.
    Unknown,
}

impl Entry {
    /// The appointment after the change, as returned by the API.
    pub(crate) const fn acknowledged(&self) -> Option<&State> {
        match &self.outcome {
            Outcome::Acknowledged { state } => state.as_ref(),
            _ => None,
        }
    }

    /// Whether the API reported success.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }
}

/// How often a change had each outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) unknown: usize,
}

/// The outcomes by kind of change.
pub(crate) fn tally(entries: &[Entry]) -> BTreeMap<Change, Tally> {
    let mut tallies: BTreeMap<_, Tally> = BTreeMap::new();
    for entry in entries {
        let tally = tallies.entry(entry.change).or_default();
        match entry.outcome {
            Outcome::Acknowledged { .. } => tally.acknowledged += 1,
            Outcome::Refused { .. } => tally.refused += 1,
            Outcome::Unknown => tally.unknown += 1,
        }
    }
    tallies
}

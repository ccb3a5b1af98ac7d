//! What all events have in common.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::Undecodable;

/// Something that has happened to a patient, or to something of theirs, as other services learn of
/// it: a record on Kafka, keyed by patient.
pub trait Event: Sized {
    /// The topic that carries these events, and nothing else.
    const TOPIC: &'static str;

    /// The event as it is on the wire.
    fn encode(&self) -> Vec<u8>;

    /// Reads an event.
    ///
    /// # Errors
    /// If it differs in any way from what [`encode`](Self::encode) writes.
    fn decode(bytes: &[u8]) -> Result<Self, Undecodable>;

    /// Consumers act once per id.
    fn id(&self) -> Uuid;

    /// When the change was committed.
    fn occurred_at(&self) -> DateTime<Utc>;

    /// What happened in one word, for logs and counters.
    fn kind(&self) -> &'static str;

    /// The patient whom it concerns: the key of the record.
    fn patient_id(&self) -> Uuid;

    /// Where a consumer is that has seen this event.
    fn mark(&self) -> Mark;
}

/// Where a consumer is: see [`seen`](crate::seen).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What the event is about, and has versions: the patient, or one of their appointments.
    pub about: Uuid,
    /// Its version after the event.
    pub version: i64,
    /// The attribute that keeps the version.
    pub attribute: &'static str,
    /// When it is over, as far as this event tells: the mark is of no use for long after that.
    /// `None` if it goes on.
    pub over_at: Option<DateTime<Utc>>,
}

//! Patient events: the typed [`PatientEvent`], the [`Producer`] that sends them to Kafka, and
//! [`consume`], the frame that every consumer runs in.

mod consumer;
mod dead_letter;
mod patient_event;
mod producer;
pub mod seen;

pub use consumer::{Effect, consume};
pub use dead_letter::{DeadLetter, DeadLetterQueue, Header, Taken};
pub use patient_event::{Change, Patient, PatientEvent, Undecodable};
pub use producer::{Producer, ProducerError};

//! What happens, as services tell each other: the typed [`PatientEvent`],
//! [`AppointmentEvent`] and [`BillingEvent`], the [`Producer`] that sends them to Kafka, and [`consume`], the frame that every consumer of an
//! [`Event`] runs in.

mod appointment_event;
mod billing_event;
mod consumer;
mod dead_letter;
mod event;
mod patient_event;
mod producer;
pub mod seen;
mod wire;

pub use appointment_event::{Appointment, AppointmentChange, AppointmentEvent};
pub use billing_event::{Amount, BillingChange, BillingEvent, Method};
pub use consumer::{Batch, Effect, Handled, consume, consume_in_batches, consume_side_by_side};
pub use dead_letter::{DeadLetter, DeadLetterQueue, Header, Taken};
pub use event::{Event, Mark};
pub use patient_event::{Change, Patient, PatientEvent, Undecodable};
pub use producer::{Producer, ProducerError};

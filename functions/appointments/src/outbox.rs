//! How the rest of the system learns of appointments: from events on Kafka.

use events::AppointmentEvent;
use outbox::KafkaOnly;

use crate::schema::SCHEMA;

/// This service, as the outbox knows it.
#[derive(Debug, Clone, Copy)]
pub struct Appointments;

impl outbox::Publisher for Appointments {
    const SCHEMA: &'static str = SCHEMA;
    const KIND: &'static str = "APPOINTMENT_EVENT";
    type Event = AppointmentEvent;
}

/// Delivers events to Kafka.
pub type Delivery = outbox::Delivery<KafkaOnly<Appointments>>;

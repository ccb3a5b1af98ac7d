//! How the rest of the system learns of what happened in billing: from events on Kafka.

use events::BillingEvent;
use outbox::KafkaOnly;

/// This service, as the outbox knows it.
#[derive(Debug, Clone, Copy)]
pub struct Billing;

impl outbox::Publisher for Billing {
    const SCHEMA: &'static str = "billing";
    const KIND: &'static str = "BILLING_EVENT";
    type Event = BillingEvent;
}

/// Delivers events to Kafka.
pub type Delivery = outbox::Delivery<KafkaOnly<Billing>>;

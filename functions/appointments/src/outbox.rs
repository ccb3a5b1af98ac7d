//! How the rest of the system learns of appointments.

use events::AppointmentEvent;
use sqlx::PgPool;
use store::Transaction;
use telemetry::TraceContext;
use uuid::Uuid;

/// Has the event announced on Kafka.
pub(crate) async fn announce(
    transaction: &mut Transaction,
    event: &AppointmentEvent,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO appointments.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($1, $2, 'APPOINTMENT_EVENT', $3, $4)",
        event.patient_id,
        event.id,
        event.encode(),
        TraceContext::current().next_step().to_string(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Delivers events to Kafka.
#[derive(Debug, Clone, Default)]
pub struct Delivery;

impl Delivery {
    /// Tries to deliver everything of this patient.
    pub async fn deliver_now(&self, _: &PgPool, _: Uuid) {}
}

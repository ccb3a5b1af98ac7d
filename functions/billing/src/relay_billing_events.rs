//! On a schedule: delivers the events that the service has written to its outbox, and deletes stored
//! answers and documents that nobody asks for any more.

use std::time::Instant;

use outbox::{Relayed, relay};
use sqlx::PgPool;

use crate::outbox::Delivery;

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay_billing_events(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let relayed = relay("relay-billing-events", database, delivery, until).await?;
    prune_answers(database).await?;
    prune_documents(database).await?;
    Ok(relayed)
}

/// Some at a time, so that no run takes long. A transfer that comes again after that is still refused, by
/// its reference.
async fn prune_answers(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM billing.request WHERE id IN (
             SELECT id FROM billing.request WHERE created_at < now() - interval '7 days' LIMIT 1000)"
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Documents that were sent, or that nobody could be sent for days. The invoice makes the same again.
async fn prune_documents(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE billing.delivery SET document = NULL WHERE id IN (
             SELECT id FROM billing.delivery
             WHERE document IS NOT NULL AND created_at < now() - interval '7 days' LIMIT 100)"
    )
    .execute(database)
    .await?;
    Ok(())
}

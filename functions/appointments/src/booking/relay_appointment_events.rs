//! On a schedule: cancels holds that have expired, delivers what requests left in the outbox, and
//! deletes expired stored responses.

use std::time::Instant;

use outbox::{Relayed, relay};
use sqlx::PgPool;
use store::Transaction;

use super::occupancy;
use crate::{clock, outbox::Delivery, schema::SCHEMA};

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay_appointment_events(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let mut transaction = Transaction::begin(database).await?;
    occupancy::expire_all_holds(&mut transaction, clock::now()).await?;
    transaction.commit().await?;
    let relayed = relay("relay-appointment-events", database, delivery, until).await?;
    idempotency::prune(database, SCHEMA).await?;
    Ok(relayed)
}

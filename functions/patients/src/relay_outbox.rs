//! On a schedule: delivers what requests left in the outbox, and deletes expired stored responses.

use std::time::Instant;

use outbox::relay;
use sqlx::PgPool;

pub use outbox::Relayed;

use crate::{outbox::Delivery, schema::SCHEMA};

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay_outbox(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let relayed = relay("relay-outbox", database, delivery, until).await?;
    idempotency::prune(database, SCHEMA).await?;
    Ok(relayed)
}

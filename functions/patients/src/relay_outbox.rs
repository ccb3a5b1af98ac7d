//! On a schedule: delivers what requests left in the outbox, tells billing of patients whom it does not
//! know well enough, deletes expired stored responses, forgets the words of erased patients, and makes
//! patients searchable who are not yet.

use std::time::Instant;

use outbox::relay;
use sqlx::PgPool;

pub use outbox::Relayed;

use crate::{
    outbox::Delivery,
    schema::SCHEMA,
    search::{catch_up::catch_up, vocabulary},
    tell_billing::{AT_A_TIME, tell_billing},
};

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay_outbox(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let mut relayed = relay("relay-outbox", database, delivery, until).await?;
    // Some more when most of what was there is delivered, so that the rest never waits for long.
    while relayed.backlog < AT_A_TIME && Box::pin(tell_billing(database)).await? {
        let before = relayed.delivered;
        relayed = relay("relay-outbox", database, delivery, until).await?;
        relayed.delivered += before;
    }
    idempotency::prune(database, SCHEMA).await?;
    Box::pin(vocabulary::forget(database)).await?;
    relayed.unfinished |= !Box::pin(catch_up(database, until)).await?;
    Ok(relayed)
}

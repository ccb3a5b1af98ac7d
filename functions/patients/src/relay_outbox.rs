//! On a schedule: delivers what requests left in the outbox, deletes expired stored responses, forgets the
//! words of erased patients, makes patients searchable who are not yet, and tells billing of those whom it
//! does not know well enough.

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

/// Delivers until nothing is left that can be delivered now, or the time is up. Nothing of it waits for
/// anything else to succeed.
///
/// # Errors
/// If the database fails, and not just for one patient. Then the rest is done, as far as that goes.
pub async fn relay_outbox(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let relayed = relay("relay-outbox", database, delivery, until).await;
    let pruned = idempotency::prune(database, SCHEMA).await;
    let forgotten = Box::pin(vocabulary::forget(database)).await;
    // This and telling billing may each take many runs, so each has half of the time.
    let now = Instant::now();
    let half_time = now + until.saturating_duration_since(now) / 2;
    let caught_up = Box::pin(catch_up(database, half_time)).await;
    let relayed = match relayed {
        Ok(relayed) => Box::pin(tell_everybody(database, delivery, relayed, until)).await,
        Err(error) => Err(error),
    };

    // Only one of them is returned.
    let failed = [
        relayed.as_ref().err(),
        pruned.as_ref().err(),
        forgotten.as_ref().err(),
        caught_up.as_ref().err(),
    ];
    for error in failed.into_iter().flatten() {
        tracing::error!(cause = %error, "a part of the run failed");
    }
    let mut relayed = relayed?;
    pruned?;
    forgotten?;
    relayed.unfinished |= !caught_up?;
    Ok(relayed)
}

/// Tells billing of some more patients whenever most of what was there is delivered, so that the rest never
/// waits for long. What is stuck does not count: it may be there for days.
async fn tell_everybody(
    database: &PgPool,
    delivery: &Delivery,
    mut relayed: Relayed,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    while relayed.backlog - relayed.stuck < AT_A_TIME && Box::pin(tell_billing(database)).await? {
        let before = relayed.delivered;
        relayed = relay("relay-outbox", database, delivery, until).await?;
        relayed.delivered += before;
    }
    Ok(relayed)
}

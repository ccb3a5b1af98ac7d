//! Waits until every message has been delivered and every event consumed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use system_tests::{Clinic, Stack, Topic, committed_offsets};

use crate::faults::CONSUMERS;

/// How long the relay's schedule, its pauses after failures and those of the consumers may take
/// together.
const LONG: Duration = Duration::from_mins(6);
/// The limit if the relay is invoked instead of waiting for its schedule.
const SHORT: Duration = Duration::from_secs(90);

const LOOK: Duration = Duration::from_millis(500);

/// The backlogs that must become empty.
pub(crate) struct Drain<'a> {
    pub(crate) clinic: &'a Clinic,
    pub(crate) database: &'a PgPool,
    /// Whether to invoke the relay instead of waiting for its schedule.
    pub(crate) short: bool,
}

/// The backlog did not drain.
#[derive(Debug, thiserror::Error)]
#[error(
    "after {} s: {outbox} messages in the outbox, {lag:?} records that a consumer has not processed",
    .after.as_secs()
)]
pub(crate) struct Stuck {
    after: Duration,
    outbox: String,
    lag: BTreeMap<&'static str, String>,
}

impl Drain<'_> {
    /// Waits until the outbox is empty and no consumer lags behind.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub(crate) async fn wait(&self) -> Result<(), Stuck> {
        let begun = Instant::now();
        let patience = if self.short { SHORT } else { LONG };
        loop {
            let outbox = self.outbox().await;
            let mut lag = BTreeMap::new();
            if outbox.as_deref() == Ok("0") {
                lag = self.lag().await;
                let is_zero = lag.values().all(|lag| lag == "0");
                // And nothing was added while the consumers were checked.
                if is_zero && self.outbox().await.as_deref() == Ok("0") {
                    return Ok(());
                }
            } else if self.short {
                let relay = self.clinic.aws();
                let relay = relay.invocation("relay-outbox", &serde_json::json!({}));
                let _ = relay.attempt().await;
            }
            if begun.elapsed() > patience {
                return Err(Stuck {
                    after: begun.elapsed(),
                    outbox: outbox.unwrap_or_else(|error| error),
                    lag,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn outbox(&self) -> Result<String, String> {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM patients.outbox");
        let count = count.fetch_one(self.database).await;
        count
            .map(|count| count.to_string())
            .map_err(|error| error.to_string())
    }

    async fn lag(&self) -> BTreeMap<&'static str, String> {
        let mut lags = BTreeMap::new();
        for consumer in CONSUMERS {
            let lag = self.lag_of(consumer).await;
            let lag = lag.map_or_else(|error| error.to_string(), |lag| lag.to_string());
            lags.insert(consumer, lag);
        }
        lags
    }

    async fn lag_of(&self, consumer: &str) -> std::io::Result<i64> {
        let stack = Stack::from_env().map_err(std::io::Error::other)?;
        let ends = Topic::listen(self.clinic.stack()).await.offsets();
        let done = committed_offsets(&stack, consumer, ends.keys().copied()).await?;
        let lag = ends.iter().map(|(partition, end)| {
            let done = done.get(partition).copied().unwrap_or_default();
            end - done
        });
        Ok(lag.sum())
    }
}

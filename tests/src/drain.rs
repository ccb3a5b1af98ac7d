//! Waits until every message has been delivered and every event consumed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use contracts::{APPOINTMENT_EVENTS_TOPIC, BILLING_EVENTS_TOPIC, PATIENT_EVENTS_TOPIC};
use serde_json::json;
use sqlx::PgPool;

use crate::{Clinic, Stack, Topic, committed_offsets};

/// Those who consume the events of patients.
pub const PATIENT_CONSUMERS: [&str; 3] = [
    "count-patient-events",
    "notify-patients",
    "cancel-for-deleted-patients",
];

/// All consumers, and the topic that each of them reads.
pub const CONSUMERS: [(&str, &str); 7] = [
    (PATIENT_CONSUMERS[0], PATIENT_EVENTS_TOPIC),
    (PATIENT_CONSUMERS[1], PATIENT_EVENTS_TOPIC),
    (PATIENT_CONSUMERS[2], PATIENT_EVENTS_TOPIC),
    ("schedule-appointment-messages", APPOINTMENT_EVENTS_TOPIC),
    ("count-appointment-events", APPOINTMENT_EVENTS_TOPIC),
    ("record-appointment-charges", APPOINTMENT_EVENTS_TOPIC),
    ("count-billing-events", BILLING_EVENTS_TOPIC),
];

/// How long the relay's schedule, its pauses after failures and those of the consumers may take
/// together.
const LONG: Duration = Duration::from_mins(6);
/// The limit if the relays are invoked instead of waiting for their schedules. A message that could
/// not be sent twice is put off for two minutes.
const SHORT: Duration = Duration::from_mins(4);

const LOOK: Duration = Duration::from_millis(500);

/// The backlogs that must become empty.
pub struct Drain<'a> {
    /// The system.
    pub clinic: &'a Clinic,
    /// Its database, as the role that owns it.
    pub database: &'a PgPool,
    /// Whether to invoke what delivers instead of waiting for its schedule.
    pub short: bool,
}

/// The backlog did not drain.
#[derive(Debug, thiserror::Error)]
#[error(
    "after {} s: {waiting:?} waiting, {lag:?} records that a consumer has not processed",
    .after.as_secs()
)]
pub struct Stuck {
    after: Duration,
    waiting: BTreeMap<&'static str, String>,
    lag: BTreeMap<&'static str, String>,
}

/// What has to be delivered, by the function that delivers it if no request does.
const BACKLOGS: [(&str, &str); 4] = [
    ("relay-outbox", "SELECT count(*) FROM patients.outbox"),
    (
        "relay-appointment-events",
        "SELECT count(*) FROM appointments.outbox",
    ),
    (
        "relay-billing-events",
        "SELECT count(*) FROM billing.outbox",
    ),
    (
        "send-due-messages",
        "SELECT count(*) FROM notifications.message WHERE state = 'PENDING' AND due_at <= now()",
    ),
];

impl Drain<'_> {
    /// Waits until nothing is to be delivered or sent, and no consumer lags behind.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub async fn wait(&self) -> Result<(), Stuck> {
        let begun = Instant::now();
        let patience = if self.short { SHORT } else { LONG };
        loop {
            let mut waiting = self.waiting().await;
            let mut lag = BTreeMap::new();
            if waiting.is_empty() {
                lag = self.lag().await;
                let is_zero = lag.values().all(|lag| lag == "0");
                // And nothing was added while the consumers were checked.
                waiting = self.waiting().await;
                if is_zero && waiting.is_empty() {
                    return Ok(());
                }
            }
            if self.short {
                for function in waiting.keys() {
                    let aws = self.clinic.aws();
                    let _ = aws.invocation(function, &json!({})).attempt().await;
                }
            }
            if begun.elapsed() > patience {
                return Err(Stuck {
                    after: begun.elapsed(),
                    waiting,
                    lag,
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The backlogs that are not empty, or cannot be read.
    async fn waiting(&self) -> BTreeMap<&'static str, String> {
        let mut waiting = BTreeMap::new();
        for (function, count) in BACKLOGS {
            let count = sqlx::query_scalar::<_, i64>(count).fetch_one(self.database);
            match count.await {
                Ok(0) => {}
                Ok(count) => drop(waiting.insert(function, count.to_string())),
                Err(error) => drop(waiting.insert(function, error.to_string())),
            }
        }
        waiting
    }

    async fn lag(&self) -> BTreeMap<&'static str, String> {
        let mut lags = BTreeMap::new();
        for (consumer, topic) in CONSUMERS {
            let lag = self.lag_of(consumer, topic).await;
            let lag = lag.map_or_else(|error| error.to_string(), |lag| lag.to_string());
            lags.insert(consumer, lag);
        }
        lags
    }

    async fn lag_of(&self, consumer: &str, topic: &str) -> std::io::Result<i64> {
        let stack = Stack::from_env().map_err(std::io::Error::other)?;
        let from_now_on = BTreeMap::new();
        let ends = Topic::open_named(topic, &from_now_on);
        let ends = ends.await.offsets();
        let done = committed_offsets(&stack, consumer, topic, ends.keys().copied()).await?;
        let lag = ends.iter().map(|(partition, end)| {
            let done = done.get(partition).copied().unwrap_or_default();
            end - done
        });
        Ok(lag.sum())
    }
}

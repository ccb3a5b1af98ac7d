//! On a schedule: delivers what requests left in the outbox, oldest first, and deletes
//! stored answers that are too old to count.

use std::time::{Duration, Instant};

use serde::Serialize;
use sqlx::PgPool;
use telemetry::{Metrics, Unit};
use uuid::Uuid;

use crate::{
    SCHEMA,
    outbox::{Delivery, DeliveryError, MessageKind},
};

/// How many patients are looked up at a time.
const PATIENTS: i64 = 100;

/// Whoever cannot take a message this often in a row is down: the next run tries again.
const FAILURES_IN_A_ROW: u32 = 3;

/// A message that was refused this often does not get through by itself.
const STUCK_AFTER: i32 = 5;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relayed {
    /// How many messages it delivered.
    pub delivered: usize,
    /// How many are left.
    pub backlog: i64,
    /// How many of them are refused again and again.
    pub stuck: i64,
    /// Whether some are left only because the time was up.
    pub unfinished: bool,
}

/// Delivers until nothing is left that can be delivered now, or the time for this `run`
/// is up.
///
/// Whoever is down is left alone for the rest of the run, and so are the patients whose
/// next message is for them; those whose next message is for somebody else go on. A
/// message that is refused holds up its own patient alone.
///
/// # Errors
/// If the database fails.
pub async fn relay_outbox(
    database: &PgPool,
    delivery: &Delivery,
    run: Duration,
) -> Result<Relayed, sqlx::Error> {
    let until = Instant::now() + run;
    let mut delivered = 0;
    let mut receivers = Receivers::default();
    let mut after = 0;
    'run: loop {
        let heads = due(database, &receivers, after, PATIENTS).await?;
        if heads.is_empty() {
            break;
        }
        for head in heads {
            if Instant::now() >= until {
                break 'run;
            }
            after = head.sequence;
            if receivers.is_down(&head.kind) {
                continue;
            }
            match delivery.relay(database, head.patient_id, until).await {
                Ok(0) => {}
                Ok(messages) => {
                    delivered += messages;
                    receivers.answered(&head.kind);
                }
                Err(DeliveryError::Database(error)) => return Err(error),
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::warn!(cause, patientId = %head.patient_id, "left to another run");
                    match error.unavailable() {
                        Some(kind) => receivers.failed(kind),
                        None => receivers.answered(&head.kind),
                    }
                }
            }
        }
    }
    idempotency::prune(database, SCHEMA).await?;
    let time_is_up = Instant::now() >= until;
    let unfinished = time_is_up && !due(database, &receivers, 0, 1).await?.is_empty();
    report(database, delivered, unfinished).await
}

/// How often in a row those who get messages could not take one.
#[derive(Debug, Default)]
struct Receivers {
    failures: [u32; MessageKind::ALL.len()],
}

impl Receivers {
    fn failed(&mut self, kind: MessageKind) {
        self.failures[kind as usize] += 1;
    }

    fn answered(&mut self, kind: &str) {
        if let Some(kind) = MessageKind::named(kind) {
            self.failures[kind as usize] = 0;
        }
    }

    fn is_down(&self, kind: &str) -> bool {
        MessageKind::named(kind)
            .is_some_and(|kind| self.failures[kind as usize] >= FAILURES_IN_A_ROW)
    }

    /// The kinds of messages that are worth a try.
    fn up(&self) -> Vec<String> {
        let names = MessageKind::ALL.into_iter().map(MessageKind::name);
        names
            .filter(|name| !self.is_down(name))
            .map(ToOwned::to_owned)
            .collect()
    }
}

/// The first message of a patient.
struct Head {
    patient_id: Uuid,
    sequence: i64,
    kind: String,
}

/// The patients whose first message may be delivered now, oldest first, behind a place in
/// the outbox.
async fn due(
    database: &PgPool,
    receivers: &Receivers,
    after: i64,
    limit: i64,
) -> Result<Vec<Head>, sqlx::Error> {
    sqlx::query_as!(
        Head,
        "SELECT patient_id, sequence, kind
         FROM patients.outbox AS head
         WHERE sequence > $1 AND not_before <= now() AND kind = ANY($2)
             AND NOT EXISTS (
                 SELECT FROM patients.outbox AS earlier
                 WHERE earlier.patient_id = head.patient_id
                     AND earlier.sequence < head.sequence
             )
         ORDER BY sequence
         LIMIT $3",
        after,
        &receivers.up(),
        limit,
    )
    .fetch_all(database)
    .await
}

async fn report(
    database: &PgPool,
    delivered: usize,
    unfinished: bool,
) -> Result<Relayed, sqlx::Error> {
    let outbox = sqlx::query!(
        r#"SELECT count(*) AS "length!",
                  count(*) FILTER (WHERE attempts >= $1) AS "stuck!",
                  COALESCE(EXTRACT(EPOCH FROM now() - min(created_at)), 0)::float8 AS "age!"
           FROM patients.outbox"#,
        STUCK_AFTER,
    )
    .fetch_one(database)
    .await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a metric is a float, and no count here comes near 2^52"
    )]
    Metrics::of_function("relay-outbox")
        .metric("OutboxDelivered", Unit::Count, delivered as f64)
        .metric("OutboxBacklog", Unit::Count, outbox.length as f64)
        .metric("OutboxStuck", Unit::Count, outbox.stuck as f64)
        .metric("OutboxAge", Unit::Seconds, outbox.age)
        .emit();
    Ok(Relayed {
        delivered,
        backlog: outbox.length,
        stuck: outbox.stuck,
        unfinished,
    })
}

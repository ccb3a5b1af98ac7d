//! On a schedule: delivers what requests left in the outbox, and deletes expired stored responses.
//!
//! Patients wait in a queue and take turns: a patient with many messages goes to the back of the
//! queue after some of them. Each receiver has its own queue, so that no message waits for the
//! other receiver's timeouts.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgPool;
use telemetry::{Metrics, Unit};
use uuid::Uuid;

use crate::{
    outbox::{Delivery, DeliveryError, Receiver, put_off},
    schema::SCHEMA,
};

/// How many patients are read at a time.
const PATIENTS: i64 = 100;

/// A receiver that fails this often in a row is down: the next run tries again.
const FAILURES_IN_A_ROW: u32 = 3;

/// A message that was rejected this often will not get through without help.
const STUCK_AFTER: i32 = 5;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relayed {
    /// How many messages it delivered.
    pub delivered: usize,
    /// How many are left.
    pub backlog: i64,
    /// How many of them have been rejected again and again.
    pub stuck: i64,
    /// Whether some are left only because the time was up.
    pub unfinished: bool,
}

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// A receiver that is down is not called again in this run, so patients whose next message is for
/// it have to wait; those whose next message is for the other receiver continue. A message that is
/// rejected and a delivery that fails in the database hold up only their own patient.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay_outbox(
    database: &PgPool,
    delivery: &Delivery,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let line = |receiver| Line {
        receiver,
        database,
        delivery,
        until,
        delivered: 0,
        failures: 0,
    };
    let (mut billing, mut kafka) = (line(Receiver::Billing), line(Receiver::Kafka));
    loop {
        let before = billing.delivered + kafka.delivered;
        let (no_accounts_left, no_events_left) = (AtomicBool::new(false), AtomicBool::new(false));
        let (accounts, events) = tokio::join!(
            billing.go(&no_accounts_left, &no_events_left),
            kafka.go(&no_events_left, &no_accounts_left),
        );
        accounts.and(events)?;
        // A message for one receiver may have held up one for the other.
        if billing.delivered + kafka.delivered == before || Instant::now() >= until {
            break;
        }
    }
    idempotency::prune(database, SCHEMA).await?;
    let time_is_up = Instant::now() >= until;
    let unfinished = time_is_up && (billing.is_left().await? || kafka.is_left().await?);
    report(database, billing.delivered + kafka.delivered, unfinished).await
}

/// The queue of the patients whose next message is for one receiver.
struct Line<'a> {
    receiver: Receiver,
    database: &'a PgPool,
    delivery: &'a Delivery,
    until: Instant,
    delivered: usize,
    /// How often in a row the receiver could not accept a message.
    failures: u32,
}

impl Line<'_> {
    /// Works through the queue until everybody in it has had a turn. If the other queue is `done`
    /// earlier, patients who had a turn here may be waiting there by now: then it stops at the end
    /// of a page.
    async fn go(&mut self, is_done: &AtomicBool, other: &AtomicBool) -> Result<(), sqlx::Error> {
        let before = self.delivered;
        let mut place = Place::FIRST;
        while self.may_go_on() {
            let heads = due(self.database, self.receiver, place, PATIENTS).await?;
            let Some(last) = heads.last() else {
                break;
            };
            place = last.place();
            for head in heads {
                if self.may_go_on() {
                    self.turn(head.patient_id).await?;
                }
            }
            if other.load(Ordering::Relaxed) && self.delivered > before {
                break;
            }
        }
        is_done.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn turn(&mut self, patient_id: Uuid) -> Result<(), sqlx::Error> {
        let turn = self
            .delivery
            .relay(self.database, patient_id, self.receiver, self.until);
        match turn.await {
            Ok(0) => {}
            Ok(messages) => {
                self.delivered += messages;
                self.failures = 0;
            }
            Err(error) => {
                left(patient_id, &error);
                if error.is_outage() {
                    self.failures += 1;
                } else if matches!(error, DeliveryError::Database(_)) {
                    // If this fails as well, the database fails, and not just for this patient.
                    put_off(self.database, patient_id).await?;
                } else {
                    self.failures = 0;
                }
            }
        }
        Ok(())
    }

    fn may_go_on(&self) -> bool {
        !self.is_down() && Instant::now() < self.until
    }

    const fn is_down(&self) -> bool {
        self.failures >= FAILURES_IN_A_ROW
    }

    /// Whether a patient is still waiting whose message is worth an attempt.
    async fn is_left(&self) -> Result<bool, sqlx::Error> {
        Ok(!self.is_down()
            && !due(self.database, self.receiver, Place::FIRST, 1)
                .await?
                .is_empty())
    }
}

fn left(patient_id: Uuid, error: &DeliveryError) {
    let cause = error as &dyn std::error::Error;
    tracing::warn!(cause, patientId = %patient_id, "left to a later run");
}

/// The first message of a patient.
struct Head {
    patient_id: Uuid,
    sequence: i64,
    since: DateTime<Utc>,
}

/// A place in a queue: since when a patient has been waiting and, within the same moment, the
/// message's sequence number.
#[derive(Debug, Clone, Copy)]
struct Place(DateTime<Utc>, i64);

impl Place {
    /// Ahead of everybody.
    const FIRST: Self = Self(DateTime::UNIX_EPOCH, 0);
}

impl Head {
    const fn place(&self) -> Place {
        Place(self.since, self.sequence)
    }
}

/// The patients behind a place in the queue whose first message is for this receiver and may be
/// delivered now.
async fn due(
    database: &PgPool,
    receiver: Receiver,
    Place(since, sequence): Place,
    limit: i64,
) -> Result<Vec<Head>, sqlx::Error> {
    sqlx::query_as!(
        Head,
        r#"SELECT patient_id, sequence, greatest(created_at, not_before) AS "since!"
           FROM patients.outbox AS head
           WHERE (greatest(created_at, not_before), sequence) > ($1, $2)
               AND not_before <= now() AND kind = ANY($3)
               AND NOT EXISTS (
                   SELECT FROM patients.outbox AS earlier
                   WHERE earlier.patient_id = head.patient_id
                       AND earlier.sequence < head.sequence
               )
           ORDER BY greatest(created_at, not_before), sequence
           LIMIT $4"#,
        since,
        sequence,
        &receiver.kinds(),
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

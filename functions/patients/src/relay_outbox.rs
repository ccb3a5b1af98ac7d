//! On a schedule: delivers what requests left in the outbox, and deletes stored answers that
//! are too old to count.
//!
//! Patients stand in line, and each has one turn after the other: who has many messages goes
//! to the end of the line after some of them. There is a line for each receiver, so that no
//! message waits for the other one's time-outs.

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

/// Delivers until nothing is left that can be delivered now, or the time is up.
///
/// Whoever is down is left alone for the rest of the run, and so are the patients whose
/// next message is for them; those whose next message is for somebody else go on. A
/// message that is refused, and a delivery that fails in the database, hold up their own
/// patient alone.
///
/// # Errors
/// If the database fails, and not for one patient alone.
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
        // A message for one may have kept one for the other waiting.
        if billing.delivered + kafka.delivered == before || Instant::now() >= until {
            break;
        }
    }
    idempotency::prune(database, SCHEMA).await?;
    let time_is_up = Instant::now() >= until;
    let unfinished = time_is_up && (billing.is_left().await? || kafka.is_left().await?);
    report(database, billing.delivered + kafka.delivered, unfinished).await
}

/// The patients whose next message is for one receiver.
struct Line<'a> {
    receiver: Receiver,
    database: &'a PgPool,
    delivery: &'a Delivery,
    until: Instant,
    delivered: usize,
    /// How often in a row the receiver could not take a message.
    failures: u32,
}

impl Line<'_> {
    /// Goes along the line, until everybody in it had a turn. If the other line is `done`
    /// before, those who had a turn here may stand there now: then the end of a page will do.
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
                    // An error here as well: the database fails, and not for this patient.
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

    /// Whether somebody still waits whose message is worth a try.
    async fn is_left(&self) -> Result<bool, sqlx::Error> {
        Ok(!self.is_down()
            && !due(self.database, self.receiver, Place::FIRST, 1)
                .await?
                .is_empty())
    }
}

fn left(patient_id: Uuid, error: &DeliveryError) {
    let cause = error as &dyn std::error::Error;
    tracing::warn!(cause, patientId = %patient_id, "left to another run");
}

/// The first message of a patient.
struct Head {
    patient_id: Uuid,
    sequence: i64,
    since: DateTime<Utc>,
}

/// Where in a line somebody stands: since when, and between those of the same moment, the
/// place in the outbox.
#[derive(Debug, Clone, Copy)]
struct Place(DateTime<Utc>, i64);

impl Place {
    /// Before everybody.
    const FIRST: Self = Self(DateTime::UNIX_EPOCH, 0);
}

impl Head {
    const fn place(&self) -> Place {
        Place(self.since, self.sequence)
    }
}

/// Those behind a place in the line whose first message is for this receiver and may be
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

//! On a schedule: delivers what requests left in the outbox.
//!
//! Patients wait in a queue and take turns: a patient with many messages goes to the back of the
//! queue after some of them. Each receiver has its own queue, so that no message waits for another
//! receiver's timeouts.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use futures::future::join_all;
use serde::Serialize;
use sqlx::PgPool;
use telemetry::{Metrics, Unit};
use uuid::Uuid;

use crate::{
    Delivery, DeliveryError, Kind, Sender,
    kind::receivers,
    table::{Outbox, Place},
};

/// How many patients are read at a time.
const PATIENTS: i64 = 100;

/// A receiver that fails this often in a row is down: the next run tries again.
const FAILURES_IN_A_ROW: u32 = 3;

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

/// Delivers until nothing is left that can be delivered now, or the time is up. The metrics
/// `OutboxDelivered`, `OutboxBacklog`, `OutboxStuck` and `OutboxAge` are those of this function.
///
/// A receiver that is down is not called again in this run, so patients whose next message is for
/// it have to wait; those whose next message is for another receiver continue. A message that is
/// rejected and a delivery that fails in the database hold up only their own patient.
///
/// # Errors
/// If the database fails, and not just for one patient.
pub async fn relay<S: Sender>(
    function: &'static str,
    database: &PgPool,
    delivery: &Delivery<S>,
    until: Instant,
) -> Result<Relayed, sqlx::Error> {
    let receivers = receivers::<S::Kind>().into_iter();
    let mut lines: Vec<_> = receivers
        .map(|receiver| Line {
            receiver,
            database,
            delivery,
            until,
            delivered: 0,
            failures: 0,
        })
        .collect();
    loop {
        let before = delivered(&lines);
        let are_done: Vec<_> = lines.iter().map(|_| AtomicBool::new(false)).collect();
        let runs = lines.iter_mut().zip(&are_done);
        let runs = join_all(runs.map(|(line, is_done)| line.go(is_done, &are_done))).await;
        runs.into_iter().collect::<Result<(), _>>()?;
        // A message for one receiver may have held up one for another.
        if delivered(&lines) == before || Instant::now() >= until {
            break;
        }
    }
    let unfinished = Instant::now() >= until && is_left(&lines).await?;
    report::<S::Kind>(function, database, delivered(&lines), unfinished).await
}

/// The queue of the patients whose next message is for one receiver.
struct Line<'a, S: Sender> {
    receiver: <S::Kind as Kind>::Receiver,
    database: &'a PgPool,
    delivery: &'a Delivery<S>,
    until: Instant,
    delivered: usize,
    /// How often in a row the receiver could not accept a message.
    failures: u32,
}

fn delivered<S: Sender>(lines: &[Line<'_, S>]) -> usize {
    lines.iter().map(|line| line.delivered).sum()
}

async fn is_left<S: Sender>(lines: &[Line<'_, S>]) -> Result<bool, sqlx::Error> {
    for line in lines {
        if line.is_left().await? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl<S: Sender> Line<'_, S> {
    /// Works through the queue until everybody in it has had a turn. If another queue is done
    /// earlier, patients who had a turn here may be waiting there by now: then it stops at the end
    /// of a page.
    async fn go(
        &mut self,
        is_done: &AtomicBool,
        are_done: &[AtomicBool],
    ) -> Result<(), sqlx::Error> {
        let before = self.delivered;
        let mut place = Place::FIRST;
        while self.may_go_on() {
            let heads =
                Outbox::<S::Kind>::heads(self.database, self.receiver, place, PATIENTS).await?;
            let Some(last) = heads.last() else {
                break;
            };
            place = last.place();
            for head in heads {
                if self.may_go_on() {
                    self.turn(head.patient_id).await?;
                }
            }
            // This queue is not done itself.
            let another_is_done = are_done.iter().any(|line| line.load(Ordering::Relaxed));
            if another_is_done && self.delivered > before {
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
                    Outbox::<S::Kind>::put_off(self.database, patient_id).await?;
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
            && !Outbox::<S::Kind>::heads(self.database, self.receiver, Place::FIRST, 1)
                .await?
                .is_empty())
    }
}

fn left(patient_id: Uuid, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(cause = error, patientId = %patient_id, "left to a later run");
}

async fn report<K: Kind>(
    function: &'static str,
    database: &PgPool,
    delivered: usize,
    unfinished: bool,
) -> Result<Relayed, sqlx::Error> {
    let left = Outbox::<K>::left(database).await?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a metric is a float, and no count here comes near 2^52"
    )]
    Metrics::of_function(function)
        .metric("OutboxDelivered", Unit::Count, delivered as f64)
        .metric("OutboxBacklog", Unit::Count, left.length as f64)
        .metric("OutboxStuck", Unit::Count, left.stuck as f64)
        .metric("OutboxAge", Unit::Seconds, left.age)
        .emit();
    Ok(Relayed {
        delivered,
        backlog: left.length,
        stuck: left.stuck,
        unfinished,
    })
}

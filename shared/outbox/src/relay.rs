//! On a schedule: delivers what requests left in the outbox.
//!
//! Patients wait in a queue and take turns: a patient with many messages goes to the back of the
//! queue after some of them. Each receiver has its own queue, so that no message waits for another
//! receiver's timeouts. A patient whose next message is for another receiver goes to that queue.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
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

/// How many patients are read at a time. Whoever looks for them may read everything that waits, so
/// these are many.
const PAGE: i64 = 10_000;

/// When a queue that was read to its end is read again while others are still at work: not at once,
/// and not longer than a tenth of the time.
const READ_AGAIN: Duration = Duration::from_secs(5);
const READ_AGAIN_TIMES: u32 = 10;

/// How many patients have a turn in a queue before it looks whether another queue waits for it.
const TURNS: usize = 100;

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
            place: Place::FIRST,
            is_read: false,
            reading: Duration::ZERO,
            read_again: Instant::now(),
            unread: None,
            waiting: VecDeque::new(),
            delivered: 0,
            failures: 0,
        })
        .collect();
    let mut before = 0;
    while Instant::now() < until {
        let are_done: Vec<_> = lines.iter().map(|_| AtomicBool::new(false)).collect();
        let runs = lines.iter_mut().zip(&are_done);
        let runs = join_all(runs.map(|(line, is_done)| line.go(is_done, &are_done))).await;
        for next in runs {
            for (patient_id, receiver) in next? {
                let line = lines.iter_mut().find(|line| line.receiver == receiver);
                if let Some(line) = line.filter(|line| !line.is_down()) {
                    line.waiting.push_back(patient_id);
                }
            }
        }
        if lines.iter().all(Line::is_empty) {
            // Meanwhile a message may have come, or become due.
            if delivered(&lines) == before {
                break;
            }
            before = delivered(&lines);
            lines.iter_mut().for_each(Line::begin_again);
        }
    }
    if delivered(&lines) == 0
        && let Some(error) = lines.iter_mut().find_map(|line| line.unread.take())
    {
        return Err(error);
    }
    let unfinished = Instant::now() >= until && is_left(&lines).await;
    report::<S::Kind>(function, database, delivered(&lines), unfinished).await
}

type Receiver<S> = <<S as Sender>::Kind as Kind>::Receiver;

/// The queue of the patients whose next message is for one receiver.
struct Line<'a, S: Sender> {
    receiver: Receiver<S>,
    database: &'a PgPool,
    delivery: &'a Delivery<S>,
    until: Instant,
    /// Who has been read, or has had a turn in another queue.
    waiting: VecDeque<Uuid>,
    /// Up to where the queue was read in the table, and whether nobody is left behind that.
    place: Place,
    is_read: bool,
    /// How long reading it has taken, and when it is read again.
    reading: Duration,
    read_again: Instant,
    /// Why it could not be read the last time.
    unread: Option<sqlx::Error>,
    delivered: usize,
    /// How often in a row the receiver could not accept a message.
    failures: u32,
}

fn delivered<S: Sender>(lines: &[Line<'_, S>]) -> usize {
    lines.iter().map(|line| line.delivered).sum()
}

/// Whether somebody is left. Whoever cannot tell has a long queue.
async fn is_left<S: Sender>(lines: &[Line<'_, S>]) -> bool {
    for line in lines {
        if line.is_left().await.unwrap_or(true) {
            return true;
        }
    }
    false
}

impl<S: Sender> Line<'_, S> {
    /// Works through the queue until everybody in it has had a turn. If another queue is done
    /// earlier, patients who had a turn here may be waiting there by now: then it stops after a
    /// hundred turns. Returns who they are, and for whom their next message is.
    async fn go(
        &mut self,
        is_done: &AtomicBool,
        are_done: &[AtomicBool],
    ) -> Result<Vec<(Uuid, Receiver<S>)>, sqlx::Error> {
        let next = self.work_through(are_done).await;
        is_done.store(true, Ordering::Relaxed);
        next
    }

    async fn work_through(
        &mut self,
        are_done: &[AtomicBool],
    ) -> Result<Vec<(Uuid, Receiver<S>)>, sqlx::Error> {
        let before = self.delivered;
        let mut next = Vec::new();
        while self.may_go_on() && self.read().await {
            for _ in 0..TURNS {
                let patient = self.waiting.pop_front().filter(|_| self.may_go_on());
                let Some(patient_id) = patient else { break };
                let receiver = self.turn(patient_id).await?;
                next.extend(receiver.map(|receiver| (patient_id, receiver)));
            }
            // This queue is not done itself.
            let another_is_done = are_done.iter().any(|line| line.load(Ordering::Relaxed));
            if another_is_done && self.delivered > before {
                break;
            }
        }
        Ok(next)
    }

    /// Reads who is next, unless somebody is waiting. Returns whether somebody is. Of a queue that cannot be
    /// read, those are served whom another queue hands over: where many wait, and nearly all of them for
    /// another receiver, the database may not find the others in time.
    async fn read(&mut self) -> bool {
        if !self.waiting.is_empty() {
            return true;
        }
        if self.is_read && Instant::now() >= self.read_again {
            self.begin_again();
        }
        if self.is_read {
            return false;
        }
        let begun = Instant::now();
        let heads = Outbox::<S::Kind>::heads(self.database, self.receiver, self.place, PAGE).await;
        let heads = heads.unwrap_or_else(|error| {
            tracing::warn!(
                cause = &error as &dyn std::error::Error,
                "a queue cannot be read"
            );
            self.unread = Some(error);
            Vec::new()
        });
        self.reading += begun.elapsed();
        if let Some(last) = heads.last() {
            self.place = last.place();
        } else {
            self.is_read = true;
            self.read_again = Instant::now() + READ_AGAIN.max(READ_AGAIN_TIMES * self.reading);
        }
        self.waiting = heads.into_iter().map(|head| head.patient_id).collect();
        !self.waiting.is_empty()
    }

    /// Begins with the first in the table once more.
    const fn begin_again(&mut self) {
        (self.place, self.is_read, self.reading) = (Place::FIRST, false, Duration::ZERO);
    }

    /// Delivers to this patient. Returns who gets the next message, if that is another receiver.
    async fn turn(&mut self, patient_id: Uuid) -> Result<Option<Receiver<S>>, sqlx::Error> {
        let turn = self
            .delivery
            .relay(self.database, patient_id, self.receiver, self.until);
        match turn.await {
            Ok(turn) => {
                if turn.messages > 0 {
                    self.delivered += turn.messages;
                    self.failures = 0;
                }
                let Some(receiver) = turn.next else {
                    return Ok(None);
                };
                if receiver != self.receiver {
                    return Ok(Some(receiver));
                }
                // Further back in the table, too; but nobody may be about to read it there. If the table is
                // due to be read, whoever came meanwhile is before them.
                if self.is_read && Instant::now() < self.read_again {
                    self.waiting.push_back(patient_id);
                }
                Ok(None)
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
                Ok(None)
            }
        }
    }

    /// Whether nobody is waiting, as far as is known.
    fn is_empty(&self) -> bool {
        self.is_down() || (self.is_read && self.waiting.is_empty())
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

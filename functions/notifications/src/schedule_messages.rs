//! Decides which messages about an appointment are due when, by the events of
//! `appointment.events.v1`.
//!
//! | event | messages |
//! |---|---|
//! | booked | a confirmation now, and reminders |
//! | moved | the new time now, and new reminders in the place of the old ones |
//! | cancelled | that it is, now; no reminders |
//! | arrived, fulfilled, no-show | no reminders |
//!
//! The mark of the appointment advances in the transaction of the messages, and never goes back: an
//! event that comes again, or after a later one, changes nothing. Whether a message is really sent
//! is decided when it is due: see [`send_due_messages`].
//!
//! [`send_due_messages`]: crate::send_due_messages

use chrono::{DateTime, Utc};
use events::{AppointmentChange, AppointmentEvent, Effect};
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use crate::{
    notification::Channel,
    occasion::Occasion,
    reminder::{Reminder, reminders},
    suppression::Suppression,
};

/// How long the mark of an appointment is kept after its last event: longer than first Kafka (7
/// days) and then the dead-letter queue (14 days) keep a record, so that nothing can be redelivered
/// after that.
const REMEMBERED_FOR_DAYS: i32 = 30;

/// The most marks that are forgotten at once.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// Schedules messages about appointments.
#[derive(Debug)]
pub struct Scheduler {
    /// Where the messages are stored.
    pub database: PgPool,
}

impl Scheduler {
    /// Does what this event requires, unless that has been done before.
    ///
    /// # Errors
    /// If the database does not respond. The event has to be redelivered.
    pub async fn apply(&self, event: &AppointmentEvent) -> Result<Effect, sqlx::Error> {
        if event.change == AppointmentChange::Orphaned {
            // The clinic has to decide what becomes of it. It leaves no mark, so that the booking
            // still has its effect if it comes later.
            return Ok(Effect::Ignored);
        }
        let mut transaction = Transaction::begin(&self.database).await?;
        if let Some(refusal) = refused_by_mark(event, &mut transaction).await? {
            transaction.rollback().await?;
            return Ok(refusal);
        }
        let effect = schedule(event, &mut transaction).await?;
        transaction.commit().await?;
        Ok(effect)
    }
}

/// Advances the mark of the appointment, and returns why not if it cannot. Nobody else advances it
/// until the transaction ends.
async fn refused_by_mark(
    event: &AppointmentEvent,
    transaction: &mut Transaction,
) -> Result<Option<Effect>, sqlx::Error> {
    let advanced = sqlx::query!(
        "INSERT INTO notifications.appointment_seen (appointment_id, version, event_id)
         VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT appointment_seen_pkey DO UPDATE
         SET version = excluded.version, event_id = excluded.event_id, seen_at = now()
         WHERE appointment_seen.version < excluded.version",
        event.appointment_id,
        event.appointment_version,
        event.id,
    )
    .execute(&mut *transaction)
    .await?;
    if advanced.rows_affected() > 0 {
        return Ok(None);
    }
    let seen = sqlx::query_scalar!(
        "SELECT event_id FROM notifications.appointment_seen WHERE appointment_id = $1",
        event.appointment_id,
    )
    .fetch_one(transaction)
    .await?;
    Ok(Some(if seen == event.id {
        Effect::AlreadyApplied
    } else {
        Effect::OutOfDate
    }))
}

async fn schedule(
    event: &AppointmentEvent,
    transaction: &mut Transaction,
) -> Result<Effect, sqlx::Error> {
    match event.change {
        AppointmentChange::Booked => {
            insert(
                event,
                &ToStore::now(Occasion::AppointmentBooked, event),
                transaction,
            )
            .await?;
            remind(event, transaction).await?;
        }
        AppointmentChange::Rescheduled {
            started_at,
            location_id,
            ..
        } => {
            drop_pending(event, Suppression::Superseded, transaction).await?;
            let now = &event.appointment;
            if started_at == now.starts_at && location_id == now.location_id {
                // Only the clinician or the room is another: that concerns the clinic. But a
                // confirmation may have been on its way, and says nothing else.
                insert(
                    event,
                    &ToStore::now(Occasion::AppointmentBooked, event),
                    transaction,
                )
                .await?;
            } else {
                // The same if nobody moved it but the rules of its time zone have changed: calendars
                // show the instant.
                let moved = ToStore {
                    must_be_told: true,
                    ..ToStore::now(Occasion::AppointmentMoved, event)
                };
                insert(event, &moved, transaction).await?;
            }
            remind(event, transaction).await?;
        }
        AppointmentChange::Cancelled { by_patient } => {
            drop_pending(event, Suppression::Cancelled, transaction).await?;
            let cancelled = ToStore {
                must_be_told: !by_patient,
                by_patient,
                ..ToStore::now(Occasion::AppointmentCancelled, event)
            };
            insert(event, &cancelled, transaction).await?;
        }
        AppointmentChange::Arrived { .. }
        | AppointmentChange::Fulfilled
        | AppointmentChange::NoShow => {
            drop_pending(event, Suppression::NoLongerNeeded, transaction).await?;
        }
        // The clinic has to decide what becomes of it.
        AppointmentChange::Orphaned => return Ok(Effect::Ignored),
    }
    Ok(Effect::Applied)
}

/// A message to be stored on every channel.
struct ToStore {
    occasion: Occasion,
    offset_minutes: i32,
    due_at: DateTime<Utc>,
    must_be_told: bool,
    by_patient: bool,
    suppressed: Option<Suppression>,
}

impl ToStore {
    const fn now(occasion: Occasion, event: &AppointmentEvent) -> Self {
        Self {
            occasion,
            offset_minutes: 0,
            due_at: event.occurred_at,
            must_be_told: false,
            by_patient: false,
            suppressed: None,
        }
    }
}

async fn remind(
    event: &AppointmentEvent,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    for Reminder { minutes, due_at } in reminders(&event.appointment) {
        // By the time of the event, so that a late delivery does not change what is due.
        let is_past = due_at <= event.occurred_at;
        let reminder = ToStore {
            offset_minutes: i32::try_from(minutes).unwrap_or(i32::MAX),
            due_at,
            suppressed: is_past.then_some(Suppression::PastAtBooking),
            ..ToStore::now(Occasion::AppointmentReminder, event)
        };
        insert(event, &reminder, transaction).await?;
    }
    Ok(())
}

async fn insert(
    event: &AppointmentEvent,
    due: &ToStore,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let state = if due.suppressed.is_some() {
        "SUPPRESSED"
    } else {
        "PENDING"
    };
    for &channel in Channel::ALL {
        sqlx::query!(
            "INSERT INTO notifications.message
                 (id, patient_id, appointment_id, kind, channel, sequence, offset_minutes,
                  must_be_told, by_patient, occurred_at, due_at, next_attempt_at, state, reason)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13)
             ON CONFLICT ON CONSTRAINT message_once DO NOTHING",
            Uuid::now_v7(),
            event.patient_id,
            event.appointment_id,
            due.occasion.name(),
            channel.name(),
            i32::try_from(event.appointment.sequence).unwrap_or(i32::MAX),
            due.offset_minutes,
            due.must_be_told,
            due.by_patient,
            event.occurred_at,
            due.due_at,
            state,
            due.suppressed.map(Suppression::name),
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(())
}

/// Drops what has not been sent yet. What has the same sequence is removed, so that its successor
/// may take its place.
async fn drop_pending(
    event: &AppointmentEvent,
    why: Suppression,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let sequence = i32::try_from(event.appointment.sequence).unwrap_or(i32::MAX);
    if why == Suppression::Superseded {
        sqlx::query!(
            "DELETE FROM notifications.message
             WHERE appointment_id = $1 AND sequence >= $2 AND state IN ('PENDING', 'SUPPRESSED')",
            event.appointment_id,
            sequence,
        )
        .execute(&mut *transaction)
        .await?;
    }
    sqlx::query!(
        "UPDATE notifications.message SET state = 'SUPPRESSED', reason = $2
         WHERE appointment_id = $1 AND state = 'PENDING'",
        event.appointment_id,
        why.name(),
    )
    .execute(transaction)
    .await?;
    Ok(())
}

/// Forgets appointments of which no event can come any more.
///
/// # Errors
/// If the database does not respond.
pub(crate) async fn forget_old_marks(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM notifications.appointment_seen WHERE appointment_id IN (
             SELECT appointment_id FROM notifications.appointment_seen seen
             WHERE seen_at < now() - make_interval(days => $1)
             AND NOT EXISTS (
                 SELECT FROM notifications.message
                 WHERE message.appointment_id = seen.appointment_id AND state = 'PENDING'
             )
             LIMIT $2
         )",
        REMEMBERED_FOR_DAYS,
        FORGOTTEN_AT_ONCE,
    )
    .execute(database)
    .await?;
    Ok(())
}

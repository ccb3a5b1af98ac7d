//! Counts what becomes of appointments.
//!
//! An appointment counts on the day that it is for, as what it is now: it moves from one counter to
//! another, and to another day, with a transaction that also notes as what it was counted. A
//! booking, a move and a cancellation count besides on the day on which they were made. An event
//! that is redelivered, or overtaken by a later one, is recognised by that note: see
//! `src/appointments/counted.rs`. A transaction has as many appointments as there is room for.

use std::collections::HashMap;

use api::ClinicTimeZone;
use chrono::Utc;
use events::{AppointmentEvent, Batch, Effect, Handled};
use store::{Table, TransactionError};
use uuid::Uuid;

pub use crate::counting::CountError;
use crate::{
    additions::{Additions, Place},
    appointments::{
        counted::{Changes, Counted, Outcome, count as count_after},
        notes::Notes,
    },
    counting::{MOST_ITEMS, in_steps},
};

/// How often events are retried that collide with other events of their appointments, which are on
/// one partition and so do not come at the same time.
const ATTEMPTS: u32 = 5;

/// Counts these events, except those that have been counted.
pub async fn count(
    table: &Table,
    clinic: ClinicTimeZone,
    batch: Batch<'_, AppointmentEvent>,
) -> Handled<CountError> {
    let mut notes = Notes::of(table);
    in_steps(&batch, async |events| {
        for _ in 0..ATTEMPTS {
            notes.read(events).await?;
            let Step {
                after,
                additions,
                effects,
            } = Step::of(events, &notes, clinic);
            if after.is_empty() {
                return Ok(effects);
            }
            let mut items = Vec::with_capacity(MOST_ITEMS);
            for (appointment, counted) in &after {
                items.push(notes.replace(*appointment, counted)?);
            }
            items.extend(additions.writes(table, batch.partition)?);
            match table.transact(items).await {
                Ok(()) => {
                    notes.are_now(after);
                    return Ok(effects);
                }
                // Only notes have a condition: another event has been counted since they were read.
                Err(TransactionError::Refused(_)) => notes.forget(),
                Err(error) => {
                    notes.forget();
                    return Err(error.into());
                }
            }
        }
        Err(CountError::Contended)
    })
    .await
}

/// What is counted with one transaction.
struct Step {
    /// The notes that it makes.
    after: HashMap<Uuid, Counted>,
    additions: Additions,
    /// What the first events do.
    effects: Vec<Effect>,
}

impl Step {
    /// As many of these events, from the first on, as one transaction has room for.
    fn of(events: &[AppointmentEvent], notes: &Notes<'_>, clinic: ClinicTimeZone) -> Self {
        let mut step = Self {
            after: HashMap::new(),
            additions: Additions::default(),
            effects: Vec::new(),
        };
        for event in events {
            let appointment = event.appointment_id;
            let earlier = step.after.get(&appointment);
            let before = earlier.or_else(|| notes.on(appointment));
            let (after, changes) = match count_after(before, event, clinic, Utc::now()) {
                Outcome::AlreadyCounted => {
                    step.effects.push(Effect::AlreadyApplied);
                    continue;
                }
                Outcome::TooOld => {
                    step.effects.push(Effect::OutOfDate);
                    continue;
                }
                Outcome::Counts(after, changes) => (after, additions(&changes)),
            };
            let replaced = step.after.len() + usize::from(earlier.is_none());
            let is_full = replaced + step.additions.items_with(&changes) > MOST_ITEMS;
            if is_full && !step.after.is_empty() {
                break;
            }
            step.after.insert(appointment, after);
            step.additions.add_all(&changes);
            step.effects.push(Effect::Applied);
        }
        step
    }
}

fn additions(changes: &Changes) -> Additions {
    let mut additions = Additions::default();
    for (cell, figures) in changes.cells() {
        for (counter, number) in figures.changes() {
            let place = Place {
                partition: cell.partition(),
                sort: cell.sort(),
            };
            additions.add(place, counter.name(), number.into());
        }
    }
    additions
}

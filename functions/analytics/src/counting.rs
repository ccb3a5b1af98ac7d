//! How a batch of events is counted: in as few transactions as the table allows, each of which has the
//! marks of its events and what they add.

use std::collections::HashMap;

use aws_sdk_dynamodb::{error::BuildError, types::TransactWriteItem};
use events::{
    Batch, Effect, Event, Handled,
    seen::{self, Seen},
};
use money::UnknownCurrency;
use store::{Table, TransactionError};
use uuid::Uuid;

use crate::additions::Additions;

/// The most items that a transaction may write
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
pub(crate) const MOST_ITEMS: usize = 100;

/// Why an event was not counted. It has to be redelivered: either nothing was counted, or the mark
/// will tell.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The table rejected the transaction, or did not respond.
    #[error("the analytics table did not accept the event: {0}")]
    Table(#[from] TransactionError),
    /// The table did not say what an appointment was counted as.
    #[error("the analytics table could not be read: {0}")]
    Reading(String),
    /// What it said cannot be read, or the note not written.
    #[error("the note on the appointment is malformed")]
    Malformed(#[from] serde_dynamo::Error),
    /// The request to the table is incomplete.
    #[error("the event cannot be written to the analytics table")]
    Request(#[from] BuildError),
    /// There is no such currency.
    #[error("the event is in a currency that does not exist")]
    Currency(#[from] UnknownCurrency),
    /// Other events of the appointment kept being counted.
    #[error("other events of the appointment kept being counted")]
    Contended,
}

impl CountError {
    /// Whether fewer events may well be counted: one of these is at fault, and not the table.
    const fn is_of_some(&self) -> bool {
        match self {
            Self::Table(TransactionError::Invalid(_)) | Self::Malformed(_) => true,
            Self::Table(_)
            | Self::Reading(_)
            | Self::Request(_)
            | Self::Currency(_)
            | Self::Contended => false,
        }
    }
}

/// Counts a batch in steps. A step is given what is left of it, counts some of the first events of
/// that, at least one, and returns what they did. If a step fails because of one of the events, those
/// before that one are counted nevertheless.
pub(crate) async fn in_steps<E>(
    batch: &Batch<'_, E>,
    mut step: impl AsyncFnMut(&[E]) -> Result<Vec<Effect>, CountError>,
) -> Handled<CountError> {
    let mut effects = Vec::with_capacity(batch.events.len());
    let mut most = usize::MAX;
    let mut failure = None;
    while effects.len() < batch.events.len() && batch.allows_more() {
        let rest = &batch.events[effects.len()..];
        let some = &rest[..most.min(rest.len())];
        match step(some).await {
            Ok(counted) => {
                effects.extend(counted);
                most = usize::MAX;
            }
            Err(error) if error.is_of_some() && some.len() > 1 => most = some.len() / 2,
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    Handled { effects, failure }
}

/// Counts events that are counted once, each unless its mark is at it or further ahead.
pub(crate) async fn by_marks<E: Event>(
    table: &Table,
    batch: &Batch<'_, E>,
    additions: impl Fn(&E) -> Result<Additions, CountError>,
) -> Handled<CountError> {
    in_steps(batch, async |events| {
        // Nothing is read: most events are new. What is not, its mark will tell.
        let mut seen = HashMap::new();
        loop {
            let Step {
                marks,
                additions,
                effects,
            } = Step::of(events, &seen, &additions)?;
            if marks.is_empty() {
                return Ok(effects);
            }
            let mut items = marks
                .iter()
                .map(|mark| seen::advance(table, mark.first, mark.last))
                .collect::<Result<Vec<TransactWriteItem>, _>>()?;
            items.extend(additions.writes(table, batch.partition)?);
            let reasons = match table.transact(items).await {
                Ok(()) => return Ok(effects),
                Err(TransactionError::Refused(reasons)) => reasons,
                Err(error) => return Err(error.into()),
            };
            let refusals = marks.iter().zip(&reasons);
            let refusals: Vec<_> = refusals
                .filter_map(|(mark, reason)| {
                    let refusal = Seen::in_refusal(reason, mark.first)?;
                    Some((mark.first.mark().about, refusal))
                })
                .collect();
            if refusals.is_empty() {
                return Err(TransactionError::Refused(reasons).into());
            }
            // Each of them leaves out at least one event, so this comes to an end.
            seen.extend(refusals);
        }
    })
    .await
}

/// What a mark advances over.
struct Advance<'a, E> {
    first: &'a E,
    last: &'a E,
}

/// What is counted with one transaction.
struct Step<'a, E> {
    marks: Vec<Advance<'a, E>>,
    additions: Additions,
    /// What the first events do.
    effects: Vec<Effect>,
}

impl<'a, E: Event> Step<'a, E> {
    /// As many of these events, from the first on, as one transaction has room for.
    fn of(
        events: &'a [E],
        seen: &HashMap<Uuid, Seen>,
        additions_of: &impl Fn(&E) -> Result<Additions, CountError>,
    ) -> Result<Self, CountError> {
        let mut step = Self {
            marks: Vec::new(),
            additions: Additions::default(),
            effects: Vec::new(),
        };
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        for event in events {
            let about = event.mark().about;
            let place = places.get(&about).copied();
            let before = match place {
                Some(place) => Some(Seen::after(step.marks[place].last)),
                None => seen.get(&about).copied(),
            };
            if let Some(effect) = before.and_then(|before| before.effect_of(event)) {
                step.effects.push(effect);
                continue;
            }
            let additions = match additions_of(event) {
                Ok(additions) => additions,
                Err(error) if step.effects.is_empty() => return Err(error),
                // Those before it come first.
                Err(_) => break,
            };
            let marks = step.marks.len() + usize::from(place.is_none());
            let is_full = marks + step.additions.items_with(&additions) > MOST_ITEMS;
            if is_full && !step.marks.is_empty() {
                break;
            }
            if let Some(place) = place {
                step.marks[place].last = event;
            } else {
                places.insert(about, step.marks.len());
                step.marks.push(Advance {
                    first: event,
                    last: event,
                });
            }
            step.additions.add_all(&additions);
            step.effects.push(Effect::Applied);
        }
        Ok(step)
    }
}

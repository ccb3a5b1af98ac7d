//! What a consumer that handles events in batches is given, and says of them.

use super::{Effect, time::Time};

/// Events that a partition has in a row.
#[derive(Debug, Clone)]
pub struct Batch<'a, E> {
    /// The number of the partition. No other partition has events of the same patients.
    pub partition: i64,
    /// The events, in order.
    pub events: &'a [E],
    time: Time,
}

impl<'a, E> Batch<'a, E> {
    /// These events, for which there is time enough.
    #[must_use]
    pub fn of(partition: i64, events: &'a [E]) -> Self {
        Self::within(Time::default(), partition, events)
    }

    pub(super) const fn within(time: Time, partition: i64, events: &'a [E]) -> Self {
        Self {
            partition,
            events,
            time,
        }
    }

    /// Whether there is time for one more step. What is not started in time is redelivered.
    #[must_use]
    pub fn allows_more(&self) -> bool {
        self.time.allows_more()
    }
}

/// What became of a batch.
#[derive(Debug)]
#[must_use]
pub struct Handled<X> {
    /// What the first events did, in order.
    pub effects: Vec<Effect>,
    /// Why the next one failed. If there is none and events are left, there was no time for them.
    pub failure: Option<X>,
}

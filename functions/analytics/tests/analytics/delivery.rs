//! Events as Lambda delivers them from the partitions of a topic: in batches of any size, some of them
//! more than once, by functions that are killed, overtaken by their successors, or lose their table.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use analytics::count_patient_events::CountError;
use events::{Batch, Effect, Handled};
use futures::future::{join, join_all};
use store::testing::{Break, Wire};

/// One call in so many is lost.
const LOST: u64 = 12;

/// How long a function may take that is killed, in microseconds at most.
const LIFE: u64 = 30_000;

/// Loses some calls of a table on this wire.
pub(crate) fn lose_some(wire: &Wire, seed: u64) {
    let state = AtomicU64::new(seed);
    wire.break_by(move || {
        let seed = state.fetch_add(1, Ordering::Relaxed);
        match fastrand::Rng::with_seed(seed).u64(..2 * LOST) {
            0 => Some(Break::Request),
            1 => Some(Break::Response),
            _ => None,
        }
    });
}

/// Delivers what is on some partitions, all at the same time, until it has been handled.
pub(crate) async fn deliver<E>(
    partitions: &[Vec<E>],
    random: &mut fastrand::Rng,
    count: impl AsyncFn(Batch<'_, E>) -> Handled<CountError>,
) {
    let count = &count;
    let numbered = (0..).zip(partitions);
    let deliveries = numbered.map(|(number, events)| {
        let mut random = random.fork();
        async move {
            let mut handled = 0;
            while handled < events.len() {
                let many = random.usize(1..=130).min(events.len() - handled);
                let batch = Batch::of(number, &events[handled..handled + many]);
                match random.u8(..8) {
                    0 => {
                        // It is killed, and nobody hears how far it was.
                        let life = Duration::from_micros(random.u64(..LIFE));
                        let _ = tokio::time::timeout(life, count(batch)).await;
                    }
                    1 => {
                        // It is taken for dead, and its successor gets a part of the same.
                        let part = &batch.events[..random.usize(1..=many)];
                        let (_, second) = join(count(batch), count(Batch::of(number, part))).await;
                        handled += second.effects.len();
                    }
                    2 => {
                        // All of it is delivered again.
                        let _ = count(batch).await;
                    }
                    _ => handled += count(batch).await.effects.len(),
                }
            }
        }
    });
    join_all(deliveries).await;
}

/// What became of a batch with one event.
pub(crate) fn only(handled: Handled<CountError>) -> Result<Effect, CountError> {
    match handled.failure {
        None => Ok(handled.effects[0]),
        Some(failure) => Err(failure),
    }
}

//! The ways in which a consumer handles the events of a partition.

use std::{
    cell::Cell,
    collections::HashMap,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use lambda_runtime::Error;
use telemetry::TraceContext;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::{Batch, Effect, Handled, time::Time};
use crate::Event;

/// An event on its way to the consumer.
pub(super) struct Delivery<E> {
    pub(super) event: E,
    pub(super) partition: i64,
    pub(super) offset: i64,
    /// The trace of the request that caused the event.
    pub(super) trace: TraceContext,
    pub(super) span: Span,
}

/// What became of an event.
pub(super) enum Outcome {
    /// It did this, and took so long.
    Done(Effect, Duration),
    /// It has to be redelivered.
    Failed(Error),
    /// There was no time for it, or one before it has failed.
    NotStarted,
}

/// How a consumer handles events.
pub(super) trait Handle<E> {
    /// Handles events that a partition has in a row, and says what became of each. Nothing is started
    /// behind one that has failed.
    async fn handle(&self, run: Vec<Delivery<E>>, time: &Time) -> Vec<Outcome>;
}

/// One event after the other.
pub(super) struct OneByOne<H>(pub(super) H);

/// Events of so many patients at the same time.
pub(super) struct SideBySide<H> {
    pub(super) patients: usize,
    pub(super) handle: H,
}

/// All events together.
pub(super) struct InBatches<H>(pub(super) H);

impl<E, H> Handle<E> for OneByOne<H>
where
    H: AsyncFn(E) -> Result<Effect, Error>,
{
    async fn handle(&self, run: Vec<Delivery<E>>, time: &Time) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(run.len());
        let mut goes_on = true;
        for delivery in run {
            let outcome = if goes_on && time.allows_more() {
                one(&self.0, delivery).await
            } else {
                Outcome::NotStarted
            };
            goes_on = matches!(outcome, Outcome::Done(..));
            outcomes.push(outcome);
        }
        outcomes
    }
}

impl<E, H> Handle<E> for SideBySide<H>
where
    E: Event,
    H: AsyncFn(E) -> Result<Effect, Error>,
{
    async fn handle(&self, run: Vec<Delivery<E>>, time: &Time) -> Vec<Outcome> {
        let mut outcomes: Vec<_> = run.iter().map(|_| Outcome::NotStarted).collect();
        let goes_on = &Cell::new(true);
        let in_order = async |events: Vec<(usize, Delivery<E>)>| {
            let mut outcomes = Vec::with_capacity(events.len());
            for (place, delivery) in events {
                if !goes_on.get() || !time.allows_more() {
                    break;
                }
                let outcome = one(&self.handle, delivery).await;
                if !matches!(outcome, Outcome::Done(..)) {
                    goes_on.set(false);
                }
                outcomes.push((place, outcome));
            }
            outcomes
        };
        let handled: Vec<_> = stream::iter(by_patient(run))
            .map(in_order)
            .buffer_unordered(self.patients)
            .collect()
            .await;
        for (place, outcome) in handled.into_iter().flatten() {
            outcomes[place] = outcome;
        }
        outcomes
    }
}

impl<E, H, X> Handle<E> for InBatches<H>
where
    E: Event,
    H: AsyncFn(Batch<'_, E>) -> Handled<X>,
    X: Into<Error>,
{
    async fn handle(&self, run: Vec<Delivery<E>>, time: &Time) -> Vec<Outcome> {
        let partition = run.first().map_or(0, |delivery| delivery.partition);
        let many = run.len();
        let started = Instant::now();
        let events: Vec<E> = run.into_iter().map(|delivery| delivery.event).collect();
        let Handled { effects, failure } =
            (self.0)(Batch::within(time.clone(), partition, &events)).await;
        let each = started.elapsed() / u32::try_from(effects.len().max(1)).unwrap_or(u32::MAX);
        let done = effects
            .into_iter()
            .map(|effect| Outcome::Done(effect, each));
        let failed = failure.map(|failure| Outcome::Failed(failure.into()));
        let rest = std::iter::repeat_with(|| Outcome::NotStarted);
        done.chain(failed).chain(rest).take(many).collect()
    }
}

/// Handles one event within its trace.
async fn one<E>(
    handle: &impl AsyncFn(E) -> Result<Effect, Error>,
    delivery: Delivery<E>,
) -> Outcome {
    let started = Instant::now();
    let Delivery {
        event, trace, span, ..
    } = delivery;
    // Boxed: the AWS SDK's futures inside are large and nested too deeply for the compiler.
    let handled = trace.scope(Box::pin(handle(event)));
    match handled.instrument(span).await {
        Ok(effect) => Outcome::Done(effect, started.elapsed()),
        Err(error) => Outcome::Failed(error),
    }
}

/// The events of each patient, in order, with their places among all.
fn by_patient<E: Event>(run: Vec<Delivery<E>>) -> Vec<Vec<(usize, Delivery<E>)>> {
    let mut patients: Vec<Vec<(usize, Delivery<E>)>> = Vec::new();
    let mut places: HashMap<Uuid, usize> = HashMap::new();
    for (place, delivery) in run.into_iter().enumerate() {
        let patient = *places
            .entry(delivery.event.patient_id())
            .or_insert(patients.len());
        if patient == patients.len() {
            patients.push(Vec::new());
        }
        patients[patient].push((place, delivery));
    }
    patients
}

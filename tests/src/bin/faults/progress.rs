//! Progress of the run, for people watching.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;

use crate::{clients::Load, faults::Stage, say::say};

/// How often progress is printed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Prints progress regularly, until it is aborted.
pub(crate) fn watch(load: Arc<Load>, stage: Arc<Stage>, begun: Instant) -> AbortHandle {
    let watch = tokio::spawn(async move {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            let under_way = stage.under_way();
            let broken = if under_way.is_empty() {
                "nothing".to_owned()
            } else {
                under_way.join(", ")
            };
            say(&format!(
                "{:>4} s  {} of {} changes acknowledged, {} retries, {} faults over; broken now: {broken}",
                begun.elapsed().as_secs(),
                load.acknowledged.load(Ordering::Relaxed),
                load.changes,
                load.retries.load(Ordering::Relaxed),
                stage.happened().len(),
            ));
        }
    });
    watch.abort_handle()
}

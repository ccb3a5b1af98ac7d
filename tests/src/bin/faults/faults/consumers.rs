//! The consumers: killed while they run, or cut off from the topic.

use anyhow::Result;
use system_tests::{CONSUMERS, Process};

use super::{FaultKind, Stage, stack};
use crate::between;

/// Several times in a row, because most of the time a consumer has nothing to do.
pub(super) async fn killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.consumers.lock().await;
    let _fault = stage.begin(FaultKind::ConsumersKilled);
    for _ in 0..random.usize(3..=7) {
        let (consumer, _) = CONSUMERS[random.usize(..CONSUMERS.len())];
        for process in Process::of_function(&stack()?, consumer) {
            process.kill().await;
        }
        tokio::time::sleep(between(random, 50, 600)).await;
    }
    Ok(())
}

/// Disconnects one consumer or more for a while.
pub(super) async fn away(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.consumers.lock().await;
    // A mapping that cannot reach its broker does not stop immediately.
    let _broker = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::ConsumersAway);
    let mut away: Vec<_> = CONSUMERS.iter().map(|(consumer, _)| *consumer).collect();
    random.shuffle(&mut away);
    away.truncate(random.usize(1..=away.len()));
    let aws = stage.clinic().aws();
    for consumer in &away {
        aws.enable_event_source_mapping(consumer, false).await;
    }
    tokio::time::sleep(between(random, 500, 4_000)).await;
    for consumer in &away {
        aws.enable_event_source_mapping(consumer, true).await;
    }
    Ok(())
}

//! The broker: down, slow, or silent.

use anyhow::Result;
use system_tests::{Process, Restart};

use super::{FaultKind, Stage, slow_down, stack};
use crate::between;

const SERVICE: &str = "kafka";

pub(super) async fn killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::KafkaKilled);
    let restart = Restart::afterwards(SERVICE);
    Process::of_service(&stack()?, SERVICE).kill().await;
    tokio::time::sleep(between(random, 500, 4_000)).await;
    stage.restart(restart).await
}

pub(super) async fn slow(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::KafkaSlow);
    let process = Process::of_service(&stack()?, SERVICE);
    slow_down(random, async || Ok([process])).await
}

/// The operating system accepts connections; nobody reads from them.
pub(super) async fn silent(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::KafkaSilent);
    let frozen = Process::of_service(&stack()?, SERVICE).freeze();
    tokio::time::sleep(between(random, 1_000, 6_000)).await;
    drop(frozen);
    Ok(())
}

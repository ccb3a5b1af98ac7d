//! The databases.

use anyhow::Result;
use system_tests::{Process, Restart};

use super::{FaultKind, Stage, stack};
use crate::between;

/// Killed and away for a moment, or shut down and started again at once.
pub(super) async fn postgres(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::Postgres);
    let restart = Restart::afterwards("postgres");
    if random.bool() {
        Process::of_service(&stack()?, "postgres").kill().await;
        tokio::time::sleep(between(random, 200, 2_000)).await;
    }
    stage.restart(restart).await
}

pub(super) async fn dynamodb(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.dynamodb.lock().await;
    let _fault = stage.begin(FaultKind::Dynamodb);
    let restart = Restart::afterwards("dynamodb");
    if random.bool() {
        Process::of_service(&stack()?, "dynamodb").kill().await;
        tokio::time::sleep(between(random, 200, 2_000)).await;
    }
    stage.restart(restart).await
}

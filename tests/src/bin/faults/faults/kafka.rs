//! The broker: down, slow, or silent; sessions that end, and another certificate.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use system_tests::{Process, Restart, Server, Stack, outlive_session};

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

/// Logins are valid for a moment, again and again: whoever does not log in again is disconnected when
/// they next want something. The broker learns of the moment when it starts.
pub(super) async fn sessions(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::KafkaSessions);
    let lifetime = between(random, 300, 1_500);
    // Dropped in the reverse order.
    let restart = Restart::afterwards(SERVICE);
    let short = ShortSessions::of(&stack()?, lifetime.as_millis())?;
    stage.restart(Restart::afterwards(SERVICE)).await?;
    outlive_session(lifetime)
        .await
        .context("sessions do not end")?;
    tokio::time::sleep(between(random, 3_000, 6_000)).await;
    drop(short);
    stage.restart(restart).await
}

/// A file that the broker reads when it starts.
struct ShortSessions(PathBuf);

impl ShortSessions {
    fn of(stack: &Stack, milliseconds: u128) -> Result<Self> {
        let file = Self(stack.directory().join("kafka/session-ms"));
        fs::write(&file.0, milliseconds.to_string())
            .with_context(|| format!("cannot write {}", file.0.display()))?;
        Ok(file)
    }
}

impl Drop for ShortSessions {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Its certificate is renewed while it runs. Whoever is connected stays so; the others see the new one,
/// among them all that have to wait too long for an answer then.
pub(super) async fn certificate(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::KafkaCertificate);
    let stack = stack()?;
    Server::Kafka
        .renew_certificate(&stack)
        .await
        .context("the broker does not take another certificate")?;
    let frozen = Process::of_service(&stack, SERVICE).freeze();
    tokio::time::sleep(between(random, 2_000, 3_000)).await;
    drop(frozen);
    Ok(())
}

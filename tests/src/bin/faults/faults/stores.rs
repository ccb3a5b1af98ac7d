//! The databases.

use anyhow::{Context as _, Result};
use sqlx::AssertSqlSafe;
use system_tests::{Process, Restart, Server};

use super::{FaultKind, Stage, slow_down, stack};
use crate::between;

/// Kills the database for a moment, or shuts it down and restarts it at once.
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

/// Freezes it wherever it is at that moment: between BEGIN and its response, during a commit, while
/// others wait for a row lock.
pub(super) async fn postgres_slow(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::PostgresSlow);
    slow_down(random, async || backends(stage, "true").await).await
}

/// As behind a router that has dropped some connections: the database is healthy, and nobody learns
/// that those connections are gone.
pub(super) async fn postgres_half_open(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::PostgresHalfOpen);
    let idle = backends(stage, "state = 'idle'").await?;
    let frozen: Vec<_> = idle
        .into_iter()
        .filter(|_| random.bool())
        .map(Process::freeze)
        .collect();
    tokio::time::sleep(between(random, 4_000, 10_000)).await;
    drop(frozen);
    Ok(())
}

/// Its certificate is renewed while it runs, and whoever has nothing to do at that moment has to connect
/// again.
pub(super) async fn postgres_certificate(stage: &Stage) -> Result<()> {
    let _part = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::PostgresCertificate);
    Server::Postgres(&stage.database)
        .renew_certificate(&stack()?)
        .await
        .context("the database does not take another certificate")?;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND datname = current_database()
             AND usename <> current_user AND state = 'idle'",
    )
    .execute(&stage.database)
    .await
    .map(drop)
    .context("idle connections cannot be ended")
}

/// The server processes for the functions and the billing service that meet this condition.
async fn backends(stage: &Stage, condition: &'static str) -> Result<Vec<Process>> {
    let pids: Vec<i32> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT pid FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND datname = current_database()
             AND usename <> current_user AND {condition}"
    )))
    .fetch_all(&stage.database)
    .await
    .context("cannot list the connections of the database")?;
    Ok(pids.into_iter().filter_map(Process::of_number).collect())
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

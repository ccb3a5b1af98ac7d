//! The billing service: down, slow, or unable to do its work.

use std::time::Duration;

use anyhow::{Context as _, Result};
use backon::{ConstantBuilder, Retryable as _};
use sqlx::PgPool;
use system_tests::{Process, Restart};

use super::{FaultKind, Stage, functions::cashiers_at_work, slow_down, stack};
use crate::between;

const SERVICE: &str = "billing";

pub(super) async fn killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.billing.lock().await;
    let _fault = stage.begin(FaultKind::BillingKilled);
    let restart = Restart::afterwards(SERVICE);
    let process = Process::of_service(&stack()?, SERVICE);
    // In the middle of a change, if there is one.
    cashiers_at_work(stage).await;
    tokio::time::sleep(between(random, 0, 150)).await;
    process.kill().await;
    tokio::time::sleep(between(random, 500, 4_000)).await;
    stage.restart(restart).await
}

pub(super) async fn slow(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.billing.lock().await;
    let _fault = stage.begin(FaultKind::BillingSlow);
    let process = Process::of_service(&stack()?, SERVICE);
    slow_down(random, async || Ok([process])).await
}

/// The database ends its connections, again and again: those that are busy, and sometimes all.
pub(super) async fn cut_off(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _database = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::BillingCutOff);
    for _ in 0..random.usize(6..=20) {
        cashiers_at_work(stage).await;
        tokio::time::sleep(between(random, 0, 100)).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'billing-service'
               AND (state <> 'idle' OR $1)",
        )
        .bind(random.u8(..5) == 0)
        .execute(&stage.database)
        .await
        .context("the connections of the billing service cannot be ended")?;
    }
    Ok(())
}

/// It is up and returns an error for every call.
pub(super) async fn fails(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.billing.lock().await;
    let _database = stage.postgres.lock().await;
    let _fault = stage.begin(FaultKind::BillingFails);
    alter(
        &stage.database,
        "ALTER TABLE billing.account RENAME TO account_gone",
    )
    .await?;
    tokio::time::sleep(between(random, 1_000, 4_000)).await;
    heal(&stage.database).await
}

/// Restores the service's table, if it was renamed.
///
/// # Errors
/// If the database does not accept that for a long time.
pub(crate) async fn heal(database: &PgPool) -> Result<()> {
    alter(
        database,
        "ALTER TABLE IF EXISTS billing.account_gone RENAME TO account",
    )
    .await
}

/// Waits for the statements that use the table.
async fn alter(database: &PgPool, statement: &'static str) -> Result<()> {
    let attempts = ConstantBuilder::default()
        .with_delay(Duration::from_millis(200))
        .with_max_times(100);
    (|| async { sqlx::query(statement).execute(database).await })
        .retry(attempts)
        .await
        .map(drop)
        .context("the billing table cannot be renamed")
}

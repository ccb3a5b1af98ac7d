//! What `grpc.health.v1` reports: for the process as a whole (`""`), that it is running; for
//! `billing.v1.BillingService`, whether its database responds too.

use std::time::Duration;

use contracts::billing::v1::billing_service_server::SERVICE_NAME;
use sqlx::PgPool;
use tonic_health::{ServingStatus, server::HealthReporter};

/// The process as a whole.
const PROCESS: &str = "";

/// How often the database is checked while it responds.
const WHILE_SERVING: Duration = Duration::from_secs(5);

/// How often the database is checked while it does not: more often, because everybody is waiting
/// for it.
const WHILE_NOT_SERVING: Duration = Duration::from_millis(500);

/// Keeps the reported health up to date. Never returns.
pub(crate) async fn report(database: &PgPool, reporter: &HealthReporter) {
    let mut last = None;
    loop {
        let (status, pause) = match accounts_can_be_read(database).await {
            Ok(()) => (ServingStatus::Serving, WHILE_SERVING),
            Err(error) => {
                tracing::debug!(cause = %error, "the database does not respond");
                (ServingStatus::NotServing, WHILE_NOT_SERVING)
            }
        };
        if last != Some(status) {
            tracing::info!(%status, "health");
            last = Some(status);
        }
        reporter.set_service_status(SERVICE_NAME, status).await;
        tokio::time::sleep(pause).await;
    }
}

/// Reports that the process is about to end.
pub(crate) async fn report_stop(reporter: &HealthReporter) {
    for service in [PROCESS, SERVICE_NAME] {
        reporter
            .set_service_status(service, ServingStatus::NotServing)
            .await;
    }
}

async fn accounts_can_be_read(database: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("SELECT EXISTS (SELECT FROM billing.account)")
        .fetch_one(database)
        .await?;
    Ok(())
}

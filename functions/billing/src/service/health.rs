//! What `grpc.health.v1` says: for the process as a whole (`""`) that it runs, for
//! `billing.v1.BillingService` whether its database answers too.

use std::time::Duration;

use contracts::billing::v1::billing_service_server::SERVICE_NAME;
use sqlx::PgPool;
use tonic_health::{ServingStatus, server::HealthReporter};

/// The process as a whole.
const PROCESS: &str = "";

/// How often a database that answers is looked at.
const WHILE_SERVING: Duration = Duration::from_secs(5);

/// How often one that does not is looked at: shorter, because everybody waits for it.
const WHILE_NOT_SERVING: Duration = Duration::from_millis(500);

/// Keeps what health says up to date, for ever.
pub(crate) async fn report(database: &PgPool, reporter: &HealthReporter) {
    let mut last = None;
    loop {
        let (status, pause) = match accounts_can_be_read(database).await {
            Ok(()) => (ServingStatus::Serving, WHILE_SERVING),
            Err(error) => {
                tracing::debug!(cause = %error, "the database does not answer");
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

/// Says that the process is about to end.
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

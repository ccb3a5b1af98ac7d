//! Counts the events of `billing.events.v1`.

use analytics::count_billing_events::count;
use events::BillingEvent;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume("count-billing-events", async |event: BillingEvent| {
        Ok(count(table, &event).await?)
    })
    .await
}

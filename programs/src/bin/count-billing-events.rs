//! Counts the events of `billing.events.v1`.

use analytics::count_billing_events::count;
use events::{Batch, BillingEvent};

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let table = &store::Table::from_env("ANALYTICS_TABLE")?;
    events::consume_in_batches(
        "count-billing-events",
        async |batch: Batch<'_, BillingEvent>| count(table, batch).await,
    )
    .await
}

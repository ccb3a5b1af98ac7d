//! On a schedule, and when the run before had no time for the rest: delivers what
//! requests left in the outbox.

use std::time::Duration;

use lambda_runtime::{LambdaEvent, service_fn};
use patients::{outbox::Delivery, relay_outbox::relay_outbox, relay_queue::RelayQueue};
use serde::de::IgnoredAny;

/// How long one run delivers, well within the function's time-out: the last call may take
/// some seconds more.
const RUN: Duration = Duration::from_secs(40);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("relay-outbox")?;
    let delivery = &Delivery::from_env()?;
    let queue = &RelayQueue::from_env()?;
    lambda_runtime::run(service_fn(async |_: LambdaEvent<IgnoredAny>| {
        let relayed = relay_outbox(database, delivery, RUN).await?;
        if relayed.unfinished {
            queue.begin_another_run().await;
        }
        Ok::<_, api::Error>(relayed)
    }))
    .await
}

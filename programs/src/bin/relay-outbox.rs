//! On a schedule, and when the previous run had no time for the rest: delivers what requests left
//! in the outbox.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use next_run::{NextRun, end_of_run};
use patients::{outbox::Delivery, relay_outbox::relay_outbox};
use serde::de::IgnoredAny;
use store::{FromEnvironment as _, service_fn};

/// How long before its timeout the function stops starting deliveries. The last one may take some
/// seconds, and so may the work after it.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("relay-outbox")?;
    let delivery = &Delivery::from_environment("relay-outbox")?;
    let next = &NextRun::from_env("RELAY_OUTBOX_QUEUE_URL")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let until = end_of_run(&event.context, RESERVE);
        let relayed = relay_outbox(database, delivery, until).await?;
        if relayed.unfinished {
            next.begin().await;
        }
        Ok::<_, api::Error>(relayed)
    }))
    .await
}

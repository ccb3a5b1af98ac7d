//! On a schedule, and when the previous run had no time for the rest: delivers what the billing
//! service has written to its outbox.

use std::time::Duration;

use billing::{outbox::Delivery, relay_billing_events::relay_billing_events};
use lambda_runtime::LambdaEvent;
use next_run::{NextRun, end_of_run};
use serde::de::IgnoredAny;
use store::{FromEnvironment as _, service_fn};

/// How long before its timeout the function stops starting deliveries. The last one may take some
/// seconds, and so may the work after it.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("relay-billing-events")?;
    let delivery = &Delivery::from_environment("relay-billing-events")?;
    let next = &NextRun::from_env("RELAY_BILLING_EVENTS_QUEUE_URL")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let until = end_of_run(&event.context, RESERVE);
        // Boxed: the future is too large for the stack.
        let run = Box::pin(relay_billing_events(database, delivery, until));
        let relayed = run.await?;
        if relayed.unfinished {
            next.begin().await;
        }
        Ok::<_, api::Error>(relayed)
    }))
    .await
}

//! On a schedule: delivers what requests left in the outbox.

use lambda_runtime::{LambdaEvent, service_fn};
use patients::{outbox::Delivery, relay_outbox::relay_outbox};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("relay-outbox")?;
    let delivery = &Delivery::from_env()?;
    lambda_runtime::run(service_fn(async |_: LambdaEvent<IgnoredAny>| {
        relay_outbox(database, delivery)
            .await
            .map_err(api::Error::from)
    }))
    .await
}

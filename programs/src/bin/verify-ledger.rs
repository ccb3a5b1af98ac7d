//! Called every day, and by whoever wants to know.

use billing::verify_ledger::{report, verify_ledger};
use lambda_runtime::LambdaEvent;
use serde::de::IgnoredAny;
use store::service_fn;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("verify-ledger")?;
    lambda_runtime::run(service_fn(async |_: LambdaEvent<IgnoredAny>| {
        let verified = Box::pin(verify_ledger(database)).await?;
        report(&verified);
        Ok::<_, api::Error>(verified)
    }))
    .await
}

//! Called every day, and by whoever wants to know.

use billing::compare_appointment_charges::{compare_appointment_charges, report};
use lambda_runtime::LambdaEvent;
use serde::de::IgnoredAny;
use store::service_fn;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("compare-appointment-charges")?;
    lambda_runtime::run(service_fn(async |_: LambdaEvent<IgnoredAny>| {
        let compared = Box::pin(compare_appointment_charges(database)).await?;
        report(&compared);
        Ok::<_, api::Error>(compared)
    }))
    .await
}

//! Every day, and on demand: appointments whose time zone has new rules keep their time on the
//! clock.

use std::time::Duration;

use appointments::booking::reproject_appointments::reproject_appointments;
use lambda_runtime::LambdaEvent;
use next_run::end_of_run;
use serde::de::IgnoredAny;
use store::service_fn;

/// How long before its timeout the function stops: a day at one location takes some seconds at most.
const RESERVE: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("reproject-appointments")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let until = end_of_run(&event.context, RESERVE);
        // Boxed: the future is too large for the stack.
        let done = Box::pin(reproject_appointments(database, until)).await?;
        if done.has_failed() {
            return Err(format!("not all appointments could be moved: {done:?}").into());
        }
        Ok::<_, api::Error>(done)
    }))
    .await
}

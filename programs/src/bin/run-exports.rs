//! When somebody wants an export, on a schedule, and when the previous run had no time for the rest:
//! writes the files.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use next_run::{NextRun, end_of_run};
use patients::{files::Files, run_exports::Exporter};
use serde::de::IgnoredAny;
use store::service_fn;

/// How long before its timeout the function begins no other part. To write one takes some seconds.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let exporter = &Exporter {
        database: store::pool("run-exports")?,
        files: Files::from_env()?,
    };
    let next = &NextRun::from_env("RUN_EXPORTS_QUEUE_URL")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let ran = exporter.run(end_of_run(&event.context, RESERVE)).await?;
        if ran.unfinished {
            next.begin().await;
        }
        Ok::<_, api::Error>(ran)
    }))
    .await
}

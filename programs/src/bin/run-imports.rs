//! When a file was uploaded, on a schedule, and when the previous run had no time for the rest:
//! works through the imports.

use std::time::Duration;

use api::ClinicTimeZone;
use lambda_runtime::LambdaEvent;
use next_run::{NextRun, end_of_run};
use patients::{email_rule::EmailRule, files::Files, run_imports::Importer};
use serde::de::IgnoredAny;
use store::service_fn;

/// How long before its timeout the function takes no more lines. A batch takes a second or two, and
/// the file with all outcomes some seconds.
const RESERVE: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let importer = &Importer {
        database: store::pool("run-imports")?,
        files: Files::from_env()?,
        clinic: ClinicTimeZone::from_env()?,
        rule: EmailRule::from_env()?,
    };
    let next = &NextRun::from_env("RUN_IMPORTS_QUEUE_URL")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let ran = importer.run(end_of_run(&event.context, RESERVE)).await?;
        if ran.unfinished {
            next.begin().await;
        }
        Ok::<_, api::Error>(ran)
    }))
    .await
}

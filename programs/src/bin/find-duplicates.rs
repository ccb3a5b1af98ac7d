//! On a schedule: compares whoever is new or has changed with those who are like them.

use std::time::Duration;

use lambda_runtime::LambdaEvent;
use next_run::end_of_run;
use patients::find_duplicates::find_duplicates;
use serde::de::IgnoredAny;
use store::service_fn;

/// How long before its timeout the function begins no other batch.
const RESERVE: Duration = Duration::from_secs(15);

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = &store::pool("find-duplicates")?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<IgnoredAny>| {
        let until = end_of_run(&event.context, RESERVE);
        Ok::<_, api::Error>(Box::pin(find_duplicates(database, until)).await?)
    }))
    .await
}

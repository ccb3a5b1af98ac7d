//! Called by whoever operates the system, after what made records unreadable was repaired.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use platform::redrive_dead_letters::{Redriven, redrive};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start_logging();
    lambda_runtime::run(service_fn(answer)).await
}

async fn answer(_: LambdaEvent<IgnoredAny>) -> Result<Redriven, Diagnostic> {
    redrive().await.map_err(|error| {
        let reason = format!("{error:#}");
        tracing::error!(reason, "the dead letters could not be re-driven");
        Diagnostic {
            error_type: "RedriveFailed".to_owned(),
            error_message: reason,
        }
    })
}

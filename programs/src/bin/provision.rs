//! Called once after each deployment, by whoever deploys.

use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use platform::provision::{Provisioned, provision};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start_logging();
    lambda_runtime::run(service_fn(answer)).await
}

/// The whole reason goes to the caller: nobody but who deploys may call this function.
async fn answer(_: LambdaEvent<IgnoredAny>) -> Result<Provisioned, Diagnostic> {
    provision().await.map_err(|error| {
        let reason = format!("{error:#}");
        tracing::error!(reason, "provisioning failed");
        Diagnostic {
            error_type: "ProvisioningFailed".to_owned(),
            error_message: reason,
        }
    })
}

//! Called by whoever deploys: from time to time, or at once with `{"compromised": true}` if
//! somebody else knows the key.

use anyhow::Context as _;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use platform::provision::{RotatedKey, rotate_signing_key};
use serde::Deserialize;
use store::{Table, aws_config, setting};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Whether the tokens of the key so far are refused from now on.
    #[serde(default)]
    compromised: bool,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::start_logging();
    lambda_runtime::run(service_fn(answer)).await
}

/// The whole reason goes to the caller: nobody but who deploys may call this function.
async fn answer(event: LambdaEvent<Option<Rotation>>) -> Result<RotatedKey, Diagnostic> {
    let rotated = rotate(event.payload.unwrap_or_default())
        .await
        .map_err(|error| {
            let reason = format!("{error:#}");
            tracing::error!(reason, "the signing key was not rotated");
            Diagnostic {
                error_type: "RotationFailed".to_owned(),
                error_message: reason,
            }
        })?;
    tracing::warn!(?rotated, "rotated the signing key");
    Ok(rotated)
}

async fn rotate(rotation: Rotation) -> anyhow::Result<RotatedKey> {
    let secret = setting("SIGNING_KEY_SECRET")?;
    let public_keys = Table::from_env("PUBLIC_KEYS_TABLE")?;
    rotate_signing_key(
        aws_config().await,
        &secret,
        &public_keys,
        rotation.compromised,
        identity::NEW_KEY_KNOWN_AFTER,
    )
    .await
    .context("the key that signs access tokens was not rotated")
}

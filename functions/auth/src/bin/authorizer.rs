//! The Lambda authorizer of the API

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let public_keys = auth::keys_in_aws::PublicKeysParameter::from_env()?;
    auth::authorizer::serve(public_keys).await
}

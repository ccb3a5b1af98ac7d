//! `GET /auth/validate`

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let public_keys = auth::keys_in_aws::PublicKeysParameter::from_env()?;
    api::serve("validate-token", auth::validate_token::routes(public_keys)).await
}

//! `GET /auth/.well-known/jwks.json`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let public_keys =
        auth::keys_in_aws::PublicKeysTable::from_env()?.kept_for(auth::json_web_keys::KEPT_FOR);
    api::serve("json-web-keys", auth::json_web_keys::routes(public_keys)).await
}

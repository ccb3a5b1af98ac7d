//! `POST /auth/login`

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("login")?;
    let signing_key = auth::keys_in_aws::SigningKeySecret::from_env()?;
    api::serve("login", auth::login::routes(database, signing_key)).await
}

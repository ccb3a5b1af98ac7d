//! `POST /auth/forgotten-password`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("forgotten-password")?;
    let attempts = auth::attempts::Attempts::from_env()?;
    api::serve(
        "forgotten-password",
        auth::forgotten_password::routes(database, attempts),
    )
    .await
}

//! `POST /auth/set-password`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("set-password")?;
    let sessions = sessions::Sessions::from_env()?;
    let attempts = auth::attempts::Attempts::from_env()?;
    api::serve(
        "set-password",
        auth::set_password::routes(database, sessions, attempts),
    )
    .await
}

//! `POST /auth/change-password`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("change-password")?;
    let sessions = sessions::Sessions::from_env()?;
    let attempts = auth::attempts::Attempts::from_env()?;
    let routes = auth::change_password::routes(database, sessions, attempts);
    api::serve("change-password", routes).await
}

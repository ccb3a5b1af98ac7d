//! `POST /auth/logout-all`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("logout-all")?;
    let sessions = sessions::Sessions::from_env()?;
    api::serve("logout-all", auth::logout_all::routes(database, sessions)).await
}

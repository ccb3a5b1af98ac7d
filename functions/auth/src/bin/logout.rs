//! `POST /auth/logout`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("logout")?;
    let sessions = sessions::Sessions::from_env()?;
    api::serve("logout", auth::logout::routes(database, sessions)).await
}

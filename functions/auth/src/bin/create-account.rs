//! `POST /api/accounts`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("create-account")?;
    let sessions = sessions::Sessions::from_env()?;
    api::serve(
        "create-account",
        auth::create_account::routes(database, sessions),
    )
    .await
}

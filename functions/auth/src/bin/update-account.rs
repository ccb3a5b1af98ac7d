//! `PUT /api/accounts/{id}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("update-account")?;
    let sessions = sessions::Sessions::from_env()?;
    api::serve(
        "update-account",
        auth::update_account::routes(database, sessions),
    )
    .await
}

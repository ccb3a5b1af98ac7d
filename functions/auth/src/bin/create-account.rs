//! `POST /api/accounts`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("create-account")?;
    api::serve("create-account", auth::create_account::routes(database)).await
}

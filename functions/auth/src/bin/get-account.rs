//! `GET /api/accounts/{id}`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("get-account")?;
    api::serve("get-account", auth::get_account::routes(database)).await
}

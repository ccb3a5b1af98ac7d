//! `GET /api/accounts`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let database = store::pool("list-accounts")?;
    api::serve("list-accounts", auth::list_accounts::routes(database)).await
}

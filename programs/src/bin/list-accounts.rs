//! `GET /api/accounts`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::list_accounts::routes;
    route::serve("list-accounts", routes).await
}

//! `POST /api/accounts`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::create_account::routes;
    route::serve("create-account", routes).await
}

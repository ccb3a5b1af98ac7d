//! `GET /api/accounts/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = auth::get_account::routes;
    route::serve("get-account", routes).await
}

//! `POST /api/prices`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::set_price::routes;
    route::serve("set-price", routes).await
}

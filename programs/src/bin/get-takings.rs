//! `GET /api/billing/takings`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_takings::routes;
    route::serve("get-takings", routes).await
}

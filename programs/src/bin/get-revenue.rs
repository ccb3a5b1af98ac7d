//! `GET /api/billing/revenue`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_revenue::routes;
    route::serve("get-revenue", routes).await
}

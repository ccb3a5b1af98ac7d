//! `GET /api/analytics/billing`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = analytics::query_billing_analytics::routes;
    route::serve("query-billing-analytics", routes).await
}

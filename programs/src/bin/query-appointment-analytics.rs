//! `GET /api/analytics/appointments`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = analytics::query_appointment_analytics::routes;
    route::serve("query-appointment-analytics", routes).await
}

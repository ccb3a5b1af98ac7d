//! `GET /api/analytics/patients`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = analytics::query_patient_analytics::routes;
    route::serve("query-patient-analytics", routes).await
}

//! `GET /api/analytics/patients`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let table = store::Table::from_env("ANALYTICS_TABLE")?;
    api::serve(
        "query-patient-analytics",
        analytics::query_patient_analytics::routes(table),
    )
    .await
}

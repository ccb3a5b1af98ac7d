//! `GET /api/patients/{id}/history`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::list_patient_history::routes;
    route::serve("list-patient-history", routes).await
}

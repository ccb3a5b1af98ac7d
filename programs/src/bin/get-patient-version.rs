//! `GET /api/patients/{id}/versions/{version}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::get_patient_version::routes;
    route::serve("get-patient-version", routes).await
}

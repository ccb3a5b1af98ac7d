//! `POST /api/patients/{id}/restore`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::restore_patient::routes;
    route::serve("restore-patient", routes).await
}

//! `POST /api/patients/{id}/erase`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::erase_patient::routes;
    route::serve("erase-patient", routes).await
}

//! `PUT /api/patients/{id}/restriction`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::restrict_patient::routes;
    route::serve("restrict-patient", routes).await
}

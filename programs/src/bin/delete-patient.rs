//! `DELETE /api/patients/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = patients::delete_patient::routes;
    route::serve("delete-patient", routes).await
}

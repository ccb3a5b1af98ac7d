//! `GET /api/patients/{id}/payments`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::list_patient_payments::routes;
    route::serve("list-patient-payments", routes).await
}

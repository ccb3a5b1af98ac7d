//! `GET /api/patients/{id}/invoices`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::list_patient_invoices::routes;
    route::serve("list-patient-invoices", routes).await
}

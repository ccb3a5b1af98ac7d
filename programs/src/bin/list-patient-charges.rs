//! `GET /api/patients/{id}/charges`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::list_patient_charges::routes;
    route::serve("list-patient-charges", routes).await
}

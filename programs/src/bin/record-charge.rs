//! `POST /api/patients/{id}/charges`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::record_charge::routes;
    route::serve("record-charge", routes).await
}

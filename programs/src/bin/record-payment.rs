//! `POST /api/patients/{id}/payments`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::record_payment::routes;
    route::serve("record-payment", routes).await
}

//! `POST /api/invoices/{id}/write-off`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::write_off_invoice::routes;
    route::serve("write-off-invoice", routes).await
}

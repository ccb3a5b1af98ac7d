//! `POST /api/invoices/{id}/deliveries`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::send_invoice::routes;
    route::serve("send-invoice", routes).await
}

//! `POST /api/invoices/{id}/credit-notes`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::credit_invoice::routes;
    route::serve("credit-invoice", routes).await
}

//! `GET /api/invoices/{id}/document`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_invoice_document::routes;
    route::serve("get-invoice-document", routes).await
}

//! `POST /api/invoices/{id}/void`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::void_invoice::routes;
    route::serve("void-invoice", routes).await
}

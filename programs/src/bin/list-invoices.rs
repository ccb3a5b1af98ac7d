//! `GET /api/invoices`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::list_invoices::routes;
    route::serve("list-invoices", routes).await
}

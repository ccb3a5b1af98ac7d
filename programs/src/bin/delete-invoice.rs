//! `DELETE /api/invoices/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::delete_invoice::routes;
    route::serve("delete-invoice", routes).await
}

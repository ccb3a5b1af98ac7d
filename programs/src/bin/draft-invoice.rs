//! `POST /api/patients/{id}/invoices`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::draft_invoice::routes;
    route::serve("draft-invoice", routes).await
}

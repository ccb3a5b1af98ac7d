//! `GET /api/billing/export`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::export_ledger::routes;
    route::serve("export-ledger", routes).await
}

//! `POST /api/invoices/{id}/write-off-rejection`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::reject_write_off::routes;
    route::serve("reject-write-off", routes).await
}

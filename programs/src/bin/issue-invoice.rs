//! `POST /api/invoices/{id}/issue`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::issue_invoice::routes;
    route::serve("issue-invoice", routes).await
}

//! `POST /api/charges/{id}/cancellation`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::cancel_charge::routes;
    route::serve("cancel-charge", routes).await
}

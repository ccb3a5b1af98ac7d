//! `POST /api/payments/{id}/reversal`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::reverse_payment::routes;
    route::serve("reverse-payment", routes).await
}

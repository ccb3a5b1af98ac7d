//! `POST /api/payments/{id}/refunds`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::request_refund::routes;
    route::serve("request-refund", routes).await
}

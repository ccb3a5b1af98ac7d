//! `POST /api/refunds/{id}/rejection`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::reject_refund::routes;
    route::serve("reject-refund", routes).await
}

//! `POST /api/refunds/{id}/completion`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::complete_refund::routes;
    route::serve("complete-refund", routes).await
}

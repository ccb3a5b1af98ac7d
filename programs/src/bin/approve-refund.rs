//! `POST /api/refunds/{id}/approval`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::approve_refund::routes;
    route::serve("approve-refund", routes).await
}

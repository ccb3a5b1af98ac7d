//! `GET /api/refunds/{id}`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_refund::routes;
    route::serve("get-refund", routes).await
}

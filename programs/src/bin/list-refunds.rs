//! `GET /api/refunds`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::list_refunds::routes;
    route::serve("list-refunds", routes).await
}

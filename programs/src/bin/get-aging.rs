//! `GET /api/billing/aging`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = billing::get_aging::routes;
    route::serve("get-aging", routes).await
}

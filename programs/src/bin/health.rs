//! `GET /health`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = platform::health::routes;
    route::serve("health", routes).await
}

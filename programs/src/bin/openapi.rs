//! `GET /openapi.json`. Made by `make generate`.

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let routes = platform::openapi::routes;
    route::serve("openapi", routes).await
}

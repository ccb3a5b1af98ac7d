//! `GET /openapi.json`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    api::serve("openapi", platform::openapi::routes()).await
}

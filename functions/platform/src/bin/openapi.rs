//! `GET /openapi.json`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let addresses = platform::openapi::AddressFormat::from_env();
    api::serve("openapi", platform::openapi::routes(addresses)).await
}

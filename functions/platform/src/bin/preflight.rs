//! `OPTIONS` of every path

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let origins = api::AllowedOrigins::from_env();
    api::serve("preflight", platform::preflight::routes(origins)).await
}

//! Every path and method that no other function answers

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let origins = api::AllowedOrigins::from_env();
    api::serve("unrouted", platform::unrouted::routes(origins)).await
}

//! `GET /health`

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), api::Error> {
    telemetry::start_logging();
    let dependencies = platform::health::Dependencies {
        database: store::pool("health")?,
        billing: billing_client::BillingClient::from_env()?,
        kafka: store::setting("KAFKA_BOOTSTRAP_SERVERS")?,
    };
    api::serve("health", platform::health::routes(dependencies)).await
}

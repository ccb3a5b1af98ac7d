//! How AWS services are called: with time-outs, and retries within them.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::sync::OnceCell;

static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();

/// Region, credentials and time-outs for the clients of AWS services, loaded once per
/// process. `AWS_ENDPOINT_URL` leads them to LocalStack.
pub async fn aws_config() -> &'static SdkConfig {
    CONFIG
        .get_or_init(|| {
            // The same cryptography as PostgreSQL's and gRPC's connections: one library
            // for it in a function, not two.
            let https = Provider::Rustls(CryptoMode::Ring);
            aws_config::defaults(BehaviorVersion::latest())
                .http_client(Builder::new().tls_provider(https).build_https())
                .retry_config(RetryConfig::standard().with_max_attempts(3))
                .timeout_config(
                    TimeoutConfig::builder()
                        .connect_timeout(Duration::from_secs(1))
                        .operation_attempt_timeout(Duration::from_secs(2))
                        .operation_timeout(Duration::from_secs(5))
                        .build(),
                )
                .load()
        })
        .await
}

/// What a call of an AWS service failed with, for the log: the service's own code, or how
/// its answer stayed away. Never its message, which may repeat what was sent.
pub fn failure_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let code = error.as_service_error().map(ProvideErrorMetadata::code);
    match code {
        Some(code) => code.unwrap_or("no code").to_owned(),
        None => error.to_string(),
    }
}

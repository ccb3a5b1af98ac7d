//! How AWS services are called: with timeouts, and retries within them.

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::SharedHttpClient,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use tokio::sync::OnceCell;

static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();

/// Region, credentials and timeouts for the clients of AWS services, loaded once per process.
/// `AWS_ENDPOINT_URL` points them to LocalStack.
pub async fn aws_config() -> &'static SdkConfig {
    CONFIG
        .get_or_init(|| {
            aws_config::defaults(BehaviorVersion::latest())
                .http_client(http_client())
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

/// The HTTP client for AWS services. It uses the same cryptography library as the connections to
/// PostgreSQL and to the billing service, so that a function contains only one.
#[must_use]
pub fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// Why a call to an AWS service failed, for the log: the service's error code, or why there was no
/// response. Never its message, which may repeat what was sent.
pub fn failure_code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    let code = error.as_service_error().map(ProvideErrorMetadata::code);
    match code {
        Some(code) => code.unwrap_or("no code").to_owned(),
        None => error.to_string(),
    }
}

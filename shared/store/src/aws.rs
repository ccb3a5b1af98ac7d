//! How AWS services are called: with timeouts, and retries within them.

use std::{error::Error, iter, time::Duration};

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{
    config::SharedHttpClient,
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

#[cfg(not(feature = "testing"))]
static CONFIG: tokio::sync::OnceCell<SdkConfig> = tokio::sync::OnceCell::const_new();

/// Region, credentials and timeouts for the clients of AWS services, loaded once per process.
/// `AWS_ENDPOINT_URL` points them to LocalStack.
#[cfg(not(feature = "testing"))]
pub async fn aws_config() -> &'static SdkConfig {
    CONFIG.get_or_init(load).await
}

#[cfg(feature = "testing")]
thread_local! {
    static CONFIG: std::cell::OnceCell<&'static SdkConfig> = const { std::cell::OnceCell::new() };
}

/// As in a function, but once per thread. Each test has a thread and a runtime of its own, and a
/// connection ends with the runtime that opened it, even if it was another test's turn to use it.
#[cfg(feature = "testing")]
pub async fn aws_config() -> &'static SdkConfig {
    if let Some(config) = CONFIG.with(|config| config.get().copied()) {
        return config;
    }
    let loaded: &SdkConfig = Box::leak(Box::new(load().await));
    CONFIG.with(|config| *config.get_or_init(|| loaded))
}

async fn load() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client())
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts)
        .load()
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
    if let SdkError::DispatchFailure(failure) = error {
        // "dispatch failure" alone would not tell a refused connection from one that took too long.
        return failure
            .as_connector_error()
            .map_or_else(|| error.to_string(), |connection| reasons(connection));
    }
    let code = error.as_service_error().map(ProvideErrorMetadata::code);
    match code {
        Some(code) => code.unwrap_or("no code").to_owned(),
        None => error.to_string(),
    }
}

/// The error and what caused it.
fn reasons(error: &(dyn Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::{
        Client,
        config::{Credentials, Region, SharedCredentialsProvider},
    };

    use super::*;

    #[tokio::test]
    async fn the_log_says_why_a_service_could_not_be_reached() {
        let credentials = Credentials::new("test", "test", None, None, "test");
        let nobody = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http_client())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url("http://127.0.0.1:1")
            .retry_config(RetryConfig::disabled())
            .build();
        let failed = Client::new(&nobody).list_tables().send().await.unwrap_err();
        let reason = failure_code(&failed);
        assert!(reason.contains("Connection refused"), "{reason}");
    }

    /// A connection of a pool that tests share ends with the runtime of the test that opened it,
    /// while another test waits for a response on it.
    #[cfg(feature = "testing")]
    #[tokio::test]
    async fn each_test_has_connections_of_its_own() {
        let here = aws_config().await;
        let there = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(aws_config())
        });
        assert!(!std::ptr::eq(here, there.join().unwrap()));
        assert!(std::ptr::eq(here, aws_config().await));
    }
}

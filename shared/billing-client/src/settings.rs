//! The settings for calling the billing service.

/// A setting is missing or cannot be used.
///
/// The token's value is a secret, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An environment variable that the template should have set is missing.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The URL is invalid.
    #[error("BILLING_URL is not an http:// or https:// URL")]
    Url,
    /// The URL requires TLS, and TLS cannot be set up for it.
    #[error("TLS cannot be set up for BILLING_URL")]
    Tls(#[source] tonic::transport::Error),
    /// The token contains characters that a header cannot carry.
    #[error("BILLING_TOKEN must consist of visible ASCII characters")]
    Token,
}

/// The value of a setting.
pub(crate) fn setting(name: &'static str) -> Result<String, SettingsError> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .ok_or(SettingsError::Missing(name))
}

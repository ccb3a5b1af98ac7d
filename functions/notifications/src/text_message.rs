//! Sends text messages with SNS.

use std::time::Duration;

use aws_sdk_sns::{
    Client,
    config::{Builder, retry::RetryConfig, timeout::TimeoutConfig},
    error::ProvideErrorMetadata as _,
    types::MessageAttributeValue,
};
use mail::PATIENCE;
use store::{aws_config, failure_code};
use tokio::sync::OnceCell;

/// The longest text that SNS sends, in characters. It sends longer ones in several parts.
const MAX_CHARACTERS: usize = 1_600;

/// Why a text message was not sent. Reveals nothing about the recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// SNS does not send this message to this number.
    #[error("the text message was refused")]
    Refused,
    /// Retrying helps: SNS is down, slow, or throttles us.
    #[error("SNS did not accept the text message: {0}")]
    Unavailable(String),
}

/// Sends text messages; connected on the first one.
#[derive(Debug, Default)]
pub struct TextMessages {
    client: OnceCell<Client>,
}

impl TextMessages {
    /// With the SNS of this configuration.
    #[must_use]
    pub fn with_config(config: Builder) -> Self {
        Self {
            client: OnceCell::from(client(config)),
        }
    }

    /// Sends one message and returns its SNS message id.
    ///
    /// # Errors
    /// If SNS rejects it, or does not confirm it. An unconfirmed message may be on its way all the
    /// same: there is no way to ask SNS.
    pub async fn send(&self, number: &str, text: &str) -> Result<String, TextError> {
        let text: String = text.chars().take(MAX_CHARACTERS).collect();
        let client = self
            .client
            .get_or_init(|| async { client(Builder::from(aws_config().await)) })
            .await;
        // Before advertising, where a network is busy.
        let transactional = MessageAttributeValue::builder()
            .data_type("String")
            .string_value("Transactional")
            .build()
            .map_err(|_| TextError::Refused)?;
        let sent = client
            .publish()
            .phone_number(number)
            .message(text)
            .message_attributes("AWS.SNS.SMS.SMSType", transactional)
            .send()
            .await
            .map_err(
                |error| match error.as_service_error().and_then(|error| error.code()) {
                    Some("InvalidParameter" | "InvalidParameterValue" | "OptedOut") => {
                        TextError::Refused
                    }
                    _ => TextError::Unavailable(failure_code(&error)),
                },
            )?;
        Ok(sent.message_id.unwrap_or_default())
    }
}

/// A client that makes one attempt per call. The SDK would resend after a timeout without knowing
/// whether the message was sent.
fn client(config: Builder) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_timeout(PATIENCE)
        .build();
    let config = config
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    Client::from_conf(config.build())
}

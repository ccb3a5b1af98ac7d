//! Sends e-mail with SES.

use std::time::Duration;

use aws_sdk_ses::{
    Client,
    config::{Builder, retry::RetryConfig, timeout::TimeoutConfig},
    error::{BuildError, ProvideErrorMetadata as _, SdkError},
    operation::{
        send_email::{SendEmailError, builders::SendEmailFluentBuilder},
        send_raw_email::SendRawEmailError,
    },
    primitives::Blob,
    types::{Body, Content, Destination, Message as SesMessage, MessageTag, RawMessage},
};
use fields::EmailAddress;
use store::{MissingSetting, aws_config, failure_code, setting};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::Letter;

/// How long one attempt may take. Longer than SES ever needs: a message whose attempt timed out may
/// be on its way all the same, and would be sent twice.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// The tag of a message that says which patient it is to.
pub const PATIENT: &str = "patient";

/// Why SES does not accept a message to this recipient as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The recipient's address is not one that mail can be sent to.
    InvalidRecipient,
    /// SES rejects this message.
    MessageRejected,
    /// SES cannot parse this message.
    InvalidMessage,
}

/// Why a message was not sent, as far as we know. Reveals nothing about the recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// SES does not accept it as it is. The caller decides whether that is final: the message or a
    /// setting may be wrong.
    #[error("the message was refused: {0:?}")]
    Refused(Refusal),
    /// Retrying helps: SES is down, slow, or throttles us.
    #[error("SES did not accept the message: {0}")]
    Unavailable(String),
}

/// Sends e-mail from one address; connected on the first message.
#[derive(Debug)]
pub struct Mailer {
    sender: String,
    /// What SES reports about mail to patients, and to whom.
    configuration_set: Option<String>,
    client: OnceCell<Client>,
}

impl Mailer {
    /// Sends from `NOTIFICATIONS_SENDER`, an address that SES has verified as ours. Mail to patients
    /// is sent with the configuration set `SES_CONFIGURATION_SET`, if it is set.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self {
            sender: setting("NOTIFICATIONS_SENDER")?,
            configuration_set: setting("SES_CONFIGURATION_SET").ok(),
            client: OnceCell::new(),
        })
    }

    /// Sends from this address, with the SES of this configuration.
    #[must_use]
    pub fn with_config(sender: &str, config: Builder) -> Self {
        Self {
            sender: sender.to_owned(),
            configuration_set: None,
            client: OnceCell::from(client(config)),
        }
    }

    /// Sends one message to somebody of the clinic and returns its SES message id.
    ///
    /// # Errors
    /// If SES rejects it, or does not confirm it. An unconfirmed message may be on its way all the
    /// same: there is no way to ask SES.
    pub async fn send(
        &self,
        recipient: &str,
        subject: &str,
        text: &str,
    ) -> Result<String, MailError> {
        let message = self.plain(recipient, subject, text).await?;
        self.accepted(message).await
    }

    /// Sends one message to a patient and returns its SES message id. What SES reports about it
    /// says the patient's id in the tag [`PATIENT`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_to_patient(
        &self,
        patient: Uuid,
        recipient: &str,
        subject: &str,
        text: &str,
    ) -> Result<String, MailError> {
        let tag = MessageTag::builder()
            .name(PATIENT)
            .value(patient.to_string());
        let message = self
            .plain(recipient, subject, text)
            .await?
            .set_configuration_set_name(self.configuration_set.clone())
            .tags(tag.build().map_err(|_| INVALID_MESSAGE)?);
        self.accepted(message).await
    }

    async fn plain(
        &self,
        recipient: &str,
        subject: &str,
        text: &str,
    ) -> Result<SendEmailFluentBuilder, MailError> {
        let recipient = address(recipient)?;
        let message = message(subject, text).map_err(|_| INVALID_MESSAGE)?;
        let destination = Destination::builder().to_addresses(recipient.as_written());
        Ok(self
            .client()
            .await
            .send_email()
            .source(&self.sender)
            .destination(destination.build())
            .message(message))
    }

    async fn accepted(&self, message: SendEmailFluentBuilder) -> Result<String, MailError> {
        let sent = message.send().await;
        let sent = sent.map_err(|error| mail_error(&error, &self.sender))?;
        Ok(sent.message_id)
    }

    /// The address that mail is sent from.
    #[must_use]
    pub fn sender(&self) -> &str {
        &self.sender
    }

    /// Sends one letter and returns its SES message id.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_letter(&self, letter: Letter<'_>) -> Result<String, MailError> {
        let recipient = address(letter.recipient)?;
        let mime = letter
            .to_mime(&self.sender, &recipient)
            .map_err(|_| INVALID_MESSAGE)?;
        let message = RawMessage::builder().data(Blob::new(mime)).build();
        let sent = self
            .client()
            .await
            .send_raw_email()
            .source(&self.sender)
            .destinations(recipient.as_written())
            .set_configuration_set_name(self.configuration_set.clone())
            .raw_message(message.map_err(|_| INVALID_MESSAGE)?)
            .send()
            .await
            .map_err(|error| letter_error(&error, &self.sender))?;
        Ok(sent.message_id)
    }

    async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async { client(Builder::from(aws_config().await)) })
            .await
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

const INVALID_MESSAGE: MailError = MailError::Refused(Refusal::InvalidMessage);

/// Exactly one address, without a display name, because the text goes into a header.
/// It may be stored from before today's rules: SES decides whether it can be delivered to.
fn address(text: &str) -> Result<EmailAddress, MailError> {
    EmailAddress::parse_known(text).map_err(|_| MailError::Refused(Refusal::InvalidRecipient))
}

fn message(subject: &str, text: &str) -> Result<SesMessage, BuildError> {
    let content = |data: &str| Content::builder().data(data).charset("UTF-8").build();
    Ok(SesMessage::builder()
        .subject(content(subject)?)
        .body(Body::builder().text(content(text)?).build())
        .build())
}

/// SES's message may repeat the patient's address, so only its code is passed on.
fn mail_error(error: &SdkError<SendEmailError>, sender: &str) -> MailError {
    match error.as_service_error() {
        Some(SendEmailError::MessageRejected(refusal)) => rejected(refusal.message(), sender),
        Some(refusal) if refusal.code() == Some("InvalidParameterValue") => INVALID_MESSAGE,
        _ => MailError::Unavailable(failure_code(error)),
    }
}

fn letter_error(error: &SdkError<SendRawEmailError>, sender: &str) -> MailError {
    match error.as_service_error() {
        Some(SendRawEmailError::MessageRejected(refusal)) => rejected(refusal.message(), sender),
        Some(refusal) if refusal.code() == Some("InvalidParameterValue") => INVALID_MESSAGE,
        _ => MailError::Unavailable(failure_code(error)),
    }
}

fn rejected(why: Option<&str>, sender: &str) -> MailError {
    // Our own address is not verified (yet), or SES is in its sandbox and the recipient's address is
    // not verified. That is a state of our SES account, not an error in this message.
    if why.is_some_and(|why| why.contains("not verified") || why.contains(sender)) {
        return MailError::Unavailable("an address is not verified".to_owned());
    }
    MailError::Refused(Refusal::MessageRejected)
}

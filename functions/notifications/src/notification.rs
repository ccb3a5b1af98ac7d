//! A notification, and what the notifications table looks like.
//!
//! One item per notification: `pk` is `PATIENT#<patient id>`, `sk` is
//! `<time of the event>#<event id>`, so that a patient's notifications stand in the order of
//! their events, and an event has one at most. Notifications stay. The version of each
//! patient that was seen last stands apart, in the items of [`events::seen`]; only those of
//! deleted patients expire.

use chrono::{DateTime, SecondsFormat, Utc};
use events::PatientEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::message::Message;
use store::{MissingSetting, Table};

/// The table of the notifications.
#[derive(Debug)]
pub struct NotificationsTable(pub Table);

impl NotificationsTable {
    /// The table that `NOTIFICATIONS_TABLE` names. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self(Table::from_env("NOTIFICATIONS_TABLE")?))
    }
}

store::from_environment!(NotificationsTable);

/// What a notification is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationKind)]
pub enum Kind {
    /// The patient was registered.
    Welcome,
}

/// How a notification reaches the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationChannel)]
pub enum Channel {
    /// By e-mail.
    Email,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationState)]
pub enum State {
    /// It is being sent, or will be tried again.
    Pending,
    /// The mail service has taken it.
    Sent,
    /// It was refused for good.
    Failed,
}

/// Why a notification was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// The patient's e-mail address is none that mail can be sent to.
    InvalidRecipient,
    /// The mail service does not send this message.
    MessageRejected,
    /// The mail service cannot read this message.
    InvalidMessage,
}

impl From<mail::Refusal> for FailureReason {
    fn from(refusal: mail::Refusal) -> Self {
        match refusal {
            mail::Refusal::InvalidRecipient => Self::InvalidRecipient,
            mail::Refusal::MessageRejected => Self::MessageRejected,
            mail::Refusal::InvalidMessage => Self::InvalidMessage,
        }
    }
}

/// Where a notification stands in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The patient.
    #[serde(rename = "pk")]
    pub partition: String,
    /// The event.
    #[serde(rename = "sk")]
    pub sort: String,
}

impl Key {
    /// Where the notification of this event stands.
    #[must_use]
    pub fn of(event: &PatientEvent) -> Self {
        Self {
            partition: partition(event.patient_id),
            sort: sort(event.occurred_at, event.id),
        }
    }
}

/// Where all notifications of a patient stand.
pub(crate) fn partition(patient_id: Uuid) -> String {
    format!("PATIENT#{patient_id}")
}

/// Sorts by time. All times have the same number of digits, so that this is also the order
/// of the texts.
pub(crate) fn sort(occurred_at: DateTime<Utc>, event_id: Uuid) -> String {
    let time = occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("{time}#{event_id}")
}

/// An item of the table.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Where it stands.
    #[serde(flatten)]
    pub key: Key,
    /// Names the notification.
    pub id: Uuid,
    /// Whom it is for.
    pub patient_id: Uuid,
    /// What it tells of.
    pub event_id: Uuid,
    /// When that happened.
    pub occurred_at: DateTime<Utc>,
    /// What it is for.
    pub kind: Kind,
    /// How it is sent.
    pub channel: Channel,
    /// Where it is sent.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// What became of it.
    pub state: State,
    /// Until when the function that is sending it has it for itself, in milliseconds since
    /// 1970.
    pub lease_until: i64,
    /// When it was first taken up.
    pub created_at: DateTime<Utc>,
    /// When the mail service took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// What the mail service calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<FailureReason>,
}

impl Notification {
    /// The welcome to a patient who was registered with this event.
    #[must_use]
    pub fn welcome(event: &PatientEvent, recipient: &str, message: Message) -> Self {
        Self {
            key: Key::of(event),
            id: Uuid::now_v7(),
            patient_id: event.patient_id,
            event_id: event.id,
            occurred_at: event.occurred_at,
            kind: Kind::Welcome,
            channel: Channel::Email,
            recipient: recipient.to_owned(),
            subject: message.subject,
            text: message.text,
            state: State::Pending,
            lease_until: 0,
            created_at: Utc::now(),
            sent_at: None,
            message_id: None,
            failure_reason: None,
        }
    }
}

/// Keeps the patient's data out of logs.
impl std::fmt::Debug for Notification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notification")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

//! A notification, and the structure of the notifications table.
//!
//! One item per notification: `pk` is `PATIENT#<patient id>`, `sk` is `<time of the event>#<event
//! id>`, so a patient's notifications are in the order of their events, and an event has at most
//! one. Notifications are kept until their patient is erased. The last version seen of each patient is kept separately, in the
//! items of [`events::seen`]; only those of deleted patients expire.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, SecondsFormat, Utc};
use events::PatientEvent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    attempt::{TableError, is_refused_condition},
    message::Message,
    suppression::Suppression,
};
use store::{MissingSetting, Table, failure_code};

/// The table of the notifications.
#[derive(Debug)]
pub struct NotificationsTable(pub Table);

impl NotificationsTable {
    /// The table named by `NOTIFICATIONS_TABLE`. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self(Table::from_env("NOTIFICATIONS_TABLE")?))
    }
}

store::from_environment!(NotificationsTable);

/// The occasion of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationKind)]
pub enum Kind {
    /// The patient was registered.
    Welcome,
    /// An appointment was booked.
    AppointmentBooked,
    /// An appointment takes place at another time.
    AppointmentMoved,
    /// An appointment does not take place.
    AppointmentCancelled,
    /// An appointment takes place soon.
    AppointmentReminder,
    /// The patient's invoice, which somebody of the clinic has sent.
    InvoiceSent,
    /// A statement of the patient's account, which somebody of the clinic has sent.
    StatementSent,
}

/// How a notification reaches the patient.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationChannel)]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By text message.
    Sms,
}

impl Channel {
    /// Every channel.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The name in the database and the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The state of a notification.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::EnumString,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = NotificationState)]
pub enum State {
    /// It is being sent, will be retried, or is not due yet.
    Pending,
    /// The mail service has accepted it.
    Sent,
    /// It has arrived.
    Delivered,
    /// It has come back.
    Bounced,
    /// The patient has complained of it.
    Complained,
    /// It is not sent: see the reason.
    Suppressed,
    /// It was finally rejected.
    Failed,
}

/// Why a notification was finally rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureReason {
    /// The patient's e-mail address is not one that mail can be sent to.
    InvalidRecipient,
    /// The mail service rejects this message.
    MessageRejected,
    /// The mail service cannot parse this message.
    InvalidMessage,
}

impl FailureReason {
    /// The name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
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

/// The key of a notification in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The partition key: the patient.
    #[serde(rename = "pk")]
    pub partition: String,
    /// The sort key: the event.
    #[serde(rename = "sk")]
    pub sort: String,
}

impl Key {
    /// The key of this event's notification.
    #[must_use]
    pub fn of(event: &PatientEvent) -> Self {
        Self {
            partition: partition(event.patient_id),
            sort: sort(event.occurred_at, event.id),
        }
    }
}

/// The partition of a patient's notifications.
pub(crate) fn partition(patient_id: Uuid) -> String {
    format!("PATIENT#{patient_id}")
}

/// The sort key. All times have the same number of digits, so the order of the keys is the order of
/// the times.
pub(crate) fn sort(occurred_at: DateTime<Utc>, event_id: Uuid) -> String {
    let time = occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("{time}#{event_id}")
}

/// An item of the table.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its key.
    #[serde(flatten)]
    pub key: Key,
    /// Identifies the notification.
    pub id: Uuid,
    /// The patient whom it is for.
    pub patient_id: Uuid,
    /// The event that caused it.
    pub event_id: Uuid,
    /// When that event happened.
    pub occurred_at: DateTime<Utc>,
    /// The occasion.
    pub kind: Kind,
    /// How it is sent.
    pub channel: Channel,
    /// The address that it is sent to.
    pub recipient: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Its state.
    pub state: State,
    /// Until when the function that is sending it holds it, in milliseconds since 1970.
    pub lease_until: i64,
    /// When it was first stored.
    pub created_at: DateTime<Utc>,
    /// When the mail service accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// The mail service's message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<FailureReason>,
    /// Why it is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppression: Option<Suppression>,
}

impl Notification {
    /// The welcome message to the patient who was registered with this event.
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
            suppression: None,
        }
    }
}

/// The notification to the patient that SES knows by this id.
///
/// # Errors
/// If the table does not respond.
pub(crate) async fn sent_as(
    message_id: &str,
    patient: Uuid,
    table: &Table,
) -> Result<Option<Notification>, TableError> {
    let page = table
        .client()
        .await
        .query()
        .table_name(table.name())
        .consistent_read(true)
        .key_condition_expression("pk = :patient")
        .filter_expression("messageId = :message")
        .expression_attribute_values(":patient", AttributeValue::S(partition(patient)))
        .expression_attribute_values(":message", AttributeValue::S(message_id.to_owned()))
        .send()
        .await
        .map_err(|error| TableError::Failed(failure_code(&error)))?;
    let item = page.items.unwrap_or_default().pop();
    Ok(item.map(serde_dynamo::from_item).transpose()?)
}

impl Notification {
    /// Moves it to this state from one of these, and returns whether it was in one of them.
    ///
    /// # Errors
    /// If the table does not respond.
    pub(crate) async fn moved_to(
        &self,
        state: &str,
        from: &[&str],
        table: &Table,
    ) -> Result<bool, TableError> {
        let names: Vec<_> = (0..from.len())
            .map(|place| format!(":from{place}"))
            .collect();
        let mut update = table
            .client()
            .await
            .update_item()
            .table_name(table.name())
            .key("pk", AttributeValue::S(self.key.partition.clone()))
            .key("sk", AttributeValue::S(self.key.sort.clone()))
            .update_expression("SET #state = :state")
            .condition_expression(format!("#state IN ({})", names.join(", ")))
            // `state` is a reserved word.
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":state", AttributeValue::S(state.to_owned()));
        for (name, from) in names.into_iter().zip(from) {
            update =
                update.expression_attribute_values(name, AttributeValue::S((*from).to_owned()));
        }
        match update.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused_condition(&error) => Ok(false),
            Err(error) => Err(TableError::Failed(failure_code(&error))),
        }
    }
}

/// Removes all notifications of an erased patient: they say who it was.
///
/// # Errors
/// If the table does not respond.
pub(crate) async fn forget(patient: Uuid, table: &Table) -> Result<(), TableError> {
    let partition = AttributeValue::S(partition(patient));
    loop {
        let page = table
            .client()
            .await
            .query()
            .table_name(table.name())
            .consistent_read(true)
            .key_condition_expression("pk = :patient")
            .expression_attribute_values(":patient", partition.clone())
            .projection_expression("pk, sk")
            .send()
            .await
            .map_err(|error| TableError::Failed(failure_code(&error)))?;
        let items = page.items.unwrap_or_default();
        if items.is_empty() {
            return Ok(());
        }
        for item in items {
            table
                .client()
                .await
                .delete_item()
                .table_name(table.name())
                .set_key(Some(item))
                .send()
                .await
                .map_err(|error| TableError::Failed(failure_code(&error)))?;
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

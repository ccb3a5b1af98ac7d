//! `record-deliveries`: what SES tells of messages that it has sent, through a topic and a queue.
//!
//! Notifications come repeatedly and out of order. States have an order, and a message only moves
//! forward in it:
//!
//! ```text
//! SENT < DELIVERED < BOUNCED < COMPLAINED
//! ```
//!
//! Most messages are in the database; welcomes are in the table of the notifications, and say whom they
//! welcome in a tag. A mailbox may send a message back after its server has accepted it, and somebody may complain
//! after that. An address from which mail has come back for good gets no more, until the patient has
//! another one. Neither does that of somebody who complains, who is opted out of such messages as
//! well.

use std::collections::HashMap;

use aws_lambda_events::sqs::SqsEvent;
use chrono::{DateTime, TimeDelta, Utc};
use lambda_runtime::{Error, LambdaEvent};
use mail::PATIENT;
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool};
use store::{Table, Transaction, service_fn};
use telemetry::{Metrics, Unit};
use uuid::Uuid;

use crate::{
    attempt::TableError,
    notification::{self, Channel},
    occasion::Occasion,
    preferences::opt_out,
};

/// For how long a notification may be about a message whose sending has not been recorded yet.
const UNRECORDED_FOR: TimeDelta = TimeDelta::minutes(10);

/// A notification, as SES writes it:
/// <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>, and for
/// those of an identity
/// <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    #[serde(alias = "notificationType")]
    event_type: String,
    mail: Mail,
    #[serde(default)]
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    message_id: String,
    timestamp: DateTime<Utc>,
    /// The values of each tag, among which is [`PATIENT`] for a welcome.
    #[serde(default)]
    tags: HashMap<String, Vec<String>>,
}

impl Mail {
    /// The patient whom it welcomes, if it does.
    fn welcomed(&self) -> Option<Uuid> {
        self.tags.get(PATIENT)?.first()?.parse().ok()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complaint_feedback_type: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Delivered,
    /// It came back: for good, or this time.
    Bounced {
        for_good: bool,
    },
    Complained,
}

impl Delivery {
    const fn state(self) -> &'static str {
        match self {
            Self::Delivered => "DELIVERED",
            Self::Bounced { .. } => "BOUNCED",
            Self::Complained => "COMPLAINED",
        }
    }

    /// The states that it follows.
    const fn follows(self) -> &'static [&'static str] {
        match self {
            // Whoever is on holiday, and says so, has got it.
            Self::Delivered | Self::Bounced { for_good: false } => &["SENT"],
            Self::Bounced { for_good: true } => &["SENT", "DELIVERED"],
            Self::Complained => &["SENT", "DELIVERED", "BOUNCED"],
        }
    }

    /// Why the address gets no more messages, if so.
    const fn suppression(self) -> Option<&'static str> {
        match self {
            Self::Delivered | Self::Bounced { for_good: false } => None,
            Self::Bounced { for_good: true } => Some("BOUNCED"),
            Self::Complained => Some("COMPLAINED"),
        }
    }
}

impl Notification {
    fn is_not_spam(&self) -> bool {
        let complaint = self.complaint.as_ref();
        let feedback = complaint.and_then(|complaint| complaint.complaint_feedback_type.as_deref());
        feedback == Some("not-spam")
    }

    /// Nothing if it is about something else, such as a message that was opened.
    fn delivery(&self) -> Option<Delivery> {
        match &*self.event_type {
            "Delivery" => Some(Delivery::Delivered),
            "Bounce" => Some(Delivery::Bounced {
                for_good: self
                    .bounce
                    .as_ref()
                    .is_some_and(|bounce| bounce.bounce_type == "Permanent"),
            }),
            // Somebody has taken it out of their spam: the opposite of a complaint.
            "Complaint" if self.is_not_spam() => None,
            "Complaint" => Some(Delivery::Complained),
            _ => None,
        }
    }
}

/// What a notification did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The message has a new state.
    Moved,
    /// It was further already.
    Known,
    /// It is not about a message of ours, or not about its delivery.
    Ignored,
}

/// Why a notification has to come again.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The message has been sent a moment ago, and that is not recorded yet.
    #[error("the message is not known yet")]
    NotYet,
    /// The database failed.
    #[error("the state of a message cannot be stored: {0}")]
    Database(#[from] sqlx::Error),
    /// The table of the welcomes failed.
    #[error("the state of a welcome cannot be stored: {0}")]
    Table(#[from] TableError),
}

/// Which messages of a batch have to come again.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

/// Serves as the Lambda function until Lambda stops it.
///
/// # Errors
/// If the Lambda runtime API cannot be reached.
pub async fn serve(database: PgPool, table: Table) -> Result<(), Error> {
    let (database, table) = (&database, &table);
    lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async move {
        let mut report = Report::default();
        for message in event.payload.records {
            let body = message.body.unwrap_or_default();
            if let Err(error) = Box::pin(record_delivery(&body, database, table)).await {
                tracing::warn!(cause = %error, "a notification of SES has to come again");
                let item_identifier = message.message_id.unwrap_or_default();
                report.batch_item_failures.push(Failure { item_identifier });
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let failures = report.batch_item_failures.len() as f64;
        Metrics::of_function("record-deliveries")
            .metric("Failures", Unit::Count, failures)
            .property("message", "notifications of SES")
            .emit();
        Ok::<_, Error>(report)
    }))
    .await
}

/// Records what a notification says.
///
/// # Errors
/// If it has to come again.
pub async fn record_delivery(
    message: &str,
    database: &PgPool,
    table: &Table,
) -> Result<Recorded, RecordError> {
    // The first message of a topic is a plain text.
    let Ok(notification) = serde_json::from_str::<Notification>(message) else {
        tracing::warn!("a notification of SES cannot be read");
        return Ok(Recorded::Ignored);
    };
    let Some(delivery) = notification.delivery() else {
        return Ok(Recorded::Ignored);
    };
    let recorded = match notification.mail.welcomed() {
        Some(patient) => of_welcome(patient, &notification, delivery, database, table).await?,
        None => of_appointment_message(&notification, delivery, database).await?,
    };
    match recorded {
        Some(recorded) => Ok(recorded),
        None if notification.mail.timestamp > Utc::now() - UNRECORDED_FOR => {
            Err(RecordError::NotYet)
        }
        None => Ok(Recorded::Ignored),
    }
}

/// Nothing if the patient has no such welcome.
async fn of_welcome(
    patient: Uuid,
    notification: &Notification,
    delivery: Delivery,
    database: &PgPool,
    table: &Table,
) -> Result<Option<Recorded>, RecordError> {
    let welcome = notification::sent_as(&notification.mail.message_id, patient, table).await?;
    let Some(welcome) = welcome else {
        return Ok(None);
    };
    // First, since the state is what tells that nothing is left to be done.
    if let Some(reason) = delivery.suppression() {
        suppress(&welcome.recipient, reason, database).await?;
    }
    let moved = welcome
        .moved_to(delivery.state(), delivery.follows(), table)
        .await?;
    tracing::info!(messageId = %welcome.id, state = delivery.state(), "a welcome has arrived or not");
    Ok(Some(if moved {
        Recorded::Moved
    } else {
        Recorded::Known
    }))
}

/// Nothing if there is no such message.
async fn of_appointment_message(
    notification: &Notification,
    delivery: Delivery,
    database: &PgPool,
) -> Result<Option<Recorded>, RecordError> {
    let mut transaction = Transaction::begin(database).await?;
    let sent = sqlx::query!(
        r#"SELECT id, patient_id, kind, channel, recipient AS "recipient!"
           FROM notifications.message
           WHERE provider_id = $1 AND recipient IS NOT NULL FOR UPDATE"#,
        notification.mail.message_id,
    )
    .fetch_optional(&mut transaction)
    .await?;
    let Some(sent) = sent else {
        transaction.rollback().await?;
        return Ok(None);
    };
    if let Some(reason) = delivery.suppression() {
        suppress(&sent.recipient, reason, &mut transaction).await?;
    }
    if let (Delivery::Complained, Ok(occasion), Ok(channel)) =
        (delivery, sent.kind.parse(), sent.channel.parse())
    {
        complained(sent.patient_id, occasion, channel, &mut transaction).await?;
    }
    let moved = sqlx::query!(
        "UPDATE notifications.message SET state = $2 WHERE id = $1 AND state = ANY($3)",
        sent.id,
        delivery.state(),
        delivery.follows() as &[&str],
    )
    .execute(&mut transaction)
    .await?;
    transaction.commit().await?;
    tracing::info!(messageId = %sent.id, state = delivery.state(), "a message has arrived or not");
    Ok(Some(if moved.rows_affected() > 0 {
        Recorded::Moved
    } else {
        Recorded::Known
    }))
}

/// Sends nothing to this address any more.
async fn suppress(
    recipient: &str,
    reason: &str,
    database: impl PgExecutor<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO notifications.suppressed_address (address, reason) VALUES (lower($1), $2)
         ON CONFLICT ON CONSTRAINT suppressed_address_pkey DO NOTHING",
        recipient,
        reason,
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Opts out whoever has complained, of what one can opt out of.
async fn complained(
    patient: Uuid,
    occasion: Occasion,
    channel: Channel,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    if !occasion.is_optional() {
        return Ok(());
    }
    // Not of somebody who was deleted meanwhile.
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM patients.contact_of($1))")
        .bind(patient)
        .fetch_one(&mut *transaction)
        .await?;
    if exists {
        opt_out(patient, occasion, channel, transaction).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(json: &serde_json::Value) -> Option<Delivery> {
        serde_json::from_value::<Notification>(json.clone())
            .unwrap()
            .delivery()
    }

    #[test]
    fn both_kinds_of_notification_are_read() {
        use serde_json::json;
        let mail = json!({ "messageId": "m", "timestamp": "2026-01-15T09:30:00.000Z" });
        for kind in ["eventType", "notificationType"] {
            for (name, rest, expected) in [
                ("Delivery", json!({}), Some(Delivery::Delivered)),
                (
                    "Bounce",
                    json!({ "bounceType": "Permanent" }),
                    Some(Delivery::Bounced { for_good: true }),
                ),
                (
                    "Bounce",
                    json!({ "bounceType": "Transient" }),
                    Some(Delivery::Bounced { for_good: false }),
                ),
                ("Complaint", json!({}), Some(Delivery::Complained)),
                ("Open", json!({}), None),
            ] {
                let mut notification = json!({ "mail": mail });
                notification[kind] = json!(name);
                if name == "Bounce" {
                    notification["bounce"] = rest;
                }
                assert_eq!(delivery(&notification), expected, "{notification}");
            }
        }
    }
}

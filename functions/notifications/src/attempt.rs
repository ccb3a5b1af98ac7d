//! One attempt at sending a notification, by one function at a time.
//!
//! ```text
//!             start                sent
//!   (nothing) ─────> PENDING ─────────────> SENT
//!                    │  ^  │     refused
//!                    └──┘  └─────────────> FAILED
//!                  released, or the lease ran out: start again
//! ```
//!
//! The patient's mark moves to the event in the transaction that stores the notification, so
//! that an event that comes after a later one of its patient starts nothing, and one that
//! comes again goes on with what is stored.
//!
//! Whoever starts an attempt has the notification for itself for the time of a lease, far
//! longer than sending takes. A function that dies in the middle leaves a `PENDING`
//! notification behind, which the event takes up again when it comes again and the lease has
//! run out.
//!
//! SES cannot be asked whether it has sent something. A function that dies, or loses the
//! table, after SES took the message and before `SENT` is written sends the message a second
//! time: rather twice than never.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure::AllOld, TransactWriteItem},
};
use backon::{ExponentialBuilder, Retryable as _};
use chrono::Utc;
use events::{Effect, PatientEvent, seen};
use mail::PATIENCE;
use store::{Table, TransactionError, failure_code};

use crate::notification::{FailureReason, Key, Notification, State};

/// How long an attempt has the notification for itself.
const LEASE: Duration = PATIENCE.saturating_mul(3);

/// The table did not do its part. Says nothing about whom the notification is for: what the
/// table answers may hold all of it, so only the code of a failure is kept.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It refused, or did not answer.
    #[error("the notifications table did not take the notification: {0}")]
    Failed(String),
    /// The request to it is incomplete.
    #[error("the notification cannot be written to the notifications table")]
    Request(#[from] BuildError),
    /// It holds something that is no notification.
    #[error("the notifications table holds an item that is no notification")]
    Malformed(#[from] serde_dynamo::Error),
}

impl From<TransactionError> for TableError {
    fn from(error: TransactionError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Who may send the notification.
#[derive(Debug)]
pub enum Start<'a> {
    /// We.
    Ours(Box<Attempt<'a>>),
    /// Nobody: it was sent, or refused for good.
    Settled,
    /// Another function is just about it.
    Held,
    /// Nobody: a later version of the patient was seen before.
    OutOfDate,
}

/// The right to send a notification.
#[derive(Debug)]
pub struct Attempt<'a> {
    table: &'a Table,
    notification: Notification,
}

impl<'a> Attempt<'a> {
    /// Starts an attempt: stores the event's notification if it is new, else takes up the one
    /// that is stored, with the words that it had then.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn start(
        table: &'a Table,
        event: &PatientEvent,
        mut notification: Notification,
    ) -> Result<Start<'a>, TableError> {
        notification.lease_until = lease_from_now();
        let stored = match put_if_new(table, event, &notification).await? {
            Stored::New => None,
            // Our own id comes back where the SDK stored it, missed the answer and tried again.
            Stored::Before(stored) if stored.id == notification.id => None,
            Stored::Before(stored) => Some(stored),
            Stored::Removed => return Ok(Start::Settled),
            Stored::OutOfDate => return Ok(Start::OutOfDate),
        };
        let Some(stored) = stored else {
            let attempt = Self {
                table,
                notification,
            };
            return Ok(Start::Ours(Box::new(attempt)));
        };
        if stored.state != State::Pending {
            return Ok(Start::Settled);
        }
        if stored.lease_until > Utc::now().timestamp_millis() {
            return Ok(Start::Held);
        }
        Self::take_up(table, *stored).await
    }

    /// Of all who find the lease run out at the same time, one gets the next one.
    async fn take_up(table: &'a Table, stored: Notification) -> Result<Start<'a>, TableError> {
        let expired = stored.lease_until;
        let attempt = Self {
            table,
            notification: Notification {
                lease_until: lease_from_now(),
                ..stored
            },
        };
        let taken = attempt
            .update(Update {
                set: "leaseUntil = :lease",
                condition: "#state = :pending AND leaseUntil = :expired",
                values: vec![
                    (":lease", number(attempt.notification.lease_until)),
                    (":pending", text("PENDING")),
                    (":expired", number(expired)),
                ],
            })
            .await?;
        Ok(if taken {
            Start::Ours(Box::new(attempt))
        } else {
            Start::Held
        })
    }

    /// What is to be sent.
    #[must_use]
    pub const fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The mail service took it. Tries harder than usual to write that down, because a
    /// second message follows if it does not succeed.
    ///
    /// # Errors
    /// If the table does not answer for several seconds.
    pub async fn sent(self, message_id: &str) -> Result<(), TableError> {
        let sent_at = Utc::now().to_rfc3339();
        let attempts = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_times(3);
        let write = || {
            self.update(Update {
                set: "#state = :sent, sentAt = :sentAt, messageId = :messageId",
                condition: "attribute_exists(pk)",
                values: vec![
                    (":sent", text("SENT")),
                    (":sentAt", text(&sent_at)),
                    (":messageId", text(message_id)),
                ],
            })
        };
        write.retry(attempts).await.map(|_| ())
    }

    /// The mail service will never take it.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn refused(self, reason: FailureReason) -> Result<(), TableError> {
        self.update(Update {
            set: "#state = :failed, failureReason = :reason",
            condition: "#state = :pending",
            values: vec![
                (":failed", text("FAILED")),
                (":reason", serde_dynamo::to_attribute_value(reason)?),
                (":pending", text("PENDING")),
            ],
        })
        .await
        .map(|_| ())
    }

    /// It was not sent: the next attempt need not wait for the lease to run out.
    ///
    /// # Errors
    /// If the table does not answer.
    pub async fn released(self) -> Result<(), TableError> {
        self.update(Update {
            set: "leaseUntil = :now",
            condition: "#state = :pending AND leaseUntil = :lease",
            values: vec![
                (":now", number(Utc::now().timestamp_millis())),
                (":pending", text("PENDING")),
                (":lease", number(self.notification.lease_until)),
            ],
        })
        .await
        .map(|_| ())
    }

    /// Whether the condition held, and the item was changed.
    async fn update(&self, update: Update) -> Result<bool, TableError> {
        let Key { partition, sort } = &self.notification.key;
        let values: HashMap<_, _> = update
            .values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // `state` is a reserved word.
        let uses_state = update.set.contains("#state") || update.condition.contains("#state");
        let mut request = self
            .table
            .client()
            .await
            .update_item()
            .table_name(self.table.name())
            .key("pk", text(partition))
            .key("sk", text(sort))
            .update_expression(format!("SET {}", update.set))
            .condition_expression(update.condition)
            .set_expression_attribute_values(Some(values));
        if uses_state {
            request = request.expression_attribute_names("#state", "state");
        }
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused_condition(&error) => Ok(false),
            Err(error) => Err(TableError::Failed(failure_code(&error))),
        }
    }
}

/// A change of the item.
struct Update {
    set: &'static str,
    condition: &'static str,
    values: Vec<(&'static str, AttributeValue)>,
}

fn is_refused_condition(error: &SdkError<UpdateItemError>) -> bool {
    error
        .as_service_error()
        .is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// What became of storing a notification.
enum Stored {
    /// It is stored.
    New,
    /// Its event has this one already.
    Before(Box<Notification>),
    /// Its event had one, which somebody removed.
    Removed,
    /// A later version of the patient was seen before.
    OutOfDate,
}

/// Stores the event's notification and moves the patient's mark, both or none.
async fn put_if_new(
    table: &Table,
    event: &PatientEvent,
    notification: &Notification,
) -> Result<Stored, TableError> {
    let put = Put::builder()
        .table_name(table.name())
        .set_item(Some(serde_dynamo::to_item(notification)?))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(AllOld)
        .build()?;
    let put = TransactWriteItem::builder().put(put).build();
    match table.transact(vec![seen::mark(table, event)?, put]).await {
        Ok(()) => Ok(Stored::New),
        Err(TransactionError::Refused(reasons)) => {
            let effect = seen::effect_of_refusal(reasons.first(), event);
            if effect == Some(Effect::OutOfDate) {
                return Ok(Stored::OutOfDate);
            }
            match reasons.get(1).and_then(|reason| reason.item()) {
                Some(item) => {
                    let stored = serde_dynamo::from_item(item.clone())?;
                    Ok(Stored::Before(Box::new(stored)))
                }
                None => Ok(Stored::Removed),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn lease_from_now() -> i64 {
    (Utc::now() + LEASE).timestamp_millis()
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

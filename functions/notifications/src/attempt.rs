//! One attempt at sending a notification, by one function at a time.
//!
//! ```text
//!             start                sent
//!   (nothing) ─────> PENDING ─────────────> SENT
//!                    │  ^  │     refused
//!                    └──┘  └─────────────> FAILED
//!                  released, or the lease has expired: start again
//! ```
//!
//! The patient's mark advances in the transaction that stores the notification. So an event that
//! arrives after a later one of its patient starts nothing, and a redelivered event continues with
//! what is stored.
//!
//! Whoever starts an attempt holds the notification for the duration of a lease, far longer than
//! sending takes. A function that dies midway leaves a `PENDING` notification behind, which is
//! taken up when the event is redelivered and the lease has expired.
//!
//! SES cannot be asked whether it has sent something. If a function dies or loses the table after
//! SES has accepted the message and before `SENT` is written, the message is sent a second time:
//! better twice than never.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure::AllOld, TransactWriteItem},
};
use backon::{ExponentialBuilder, Retryable as _};
use chrono::Utc;
use events::{
    Effect, PatientEvent,
    seen::{self, MarkError},
};
use mail::PATIENCE;
use store::{Table, TransactionError, failure_code};

use crate::{
    notification::{FailureReason, Key, Notification, State},
    suppression::Suppression,
};

/// How long an attempt holds the notification.
const LEASE: Duration = PATIENCE.saturating_mul(3);

/// The table failed. Reveals nothing about the recipient: the table's error messages may contain
/// the whole notification, so only the error code is kept.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The table rejected the request, or did not respond.
    #[error("the notifications table did not accept the notification: {0}")]
    Failed(String),
    /// The request is incomplete.
    #[error("the notification cannot be written to the notifications table")]
    Request(#[from] BuildError),
    /// It contains something that is not a notification.
    #[error("the notifications table contains an item that is not a notification")]
    Malformed(#[from] serde_dynamo::Error),
}

impl From<MarkError> for TableError {
    fn from(error: MarkError) -> Self {
        match error {
            MarkError::Failed(reason) => Self::Failed(reason),
            MarkError::Request(incomplete) => Self::Request(incomplete),
        }
    }
}

impl From<TransactionError> for TableError {
    fn from(error: TransactionError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Who may send the notification.
#[derive(Debug)]
pub enum Start<'a> {
    /// We may.
    Ours(Box<Attempt<'a>>),
    /// Nobody: it was already sent, or finally rejected.
    Settled,
    /// Another function is sending it.
    Held,
    /// Nobody: a later version of the patient has been seen.
    OutOfDate,
}

/// The right to send a notification.
#[derive(Debug)]
pub struct Attempt<'a> {
    table: &'a Table,
    notification: Notification,
}

impl<'a> Attempt<'a> {
    /// Starts an attempt: stores the event's notification if it is new; otherwise takes up the
    /// stored one with its original text.
    ///
    /// # Errors
    /// If the table does not respond.
    pub async fn start(
        table: &'a Table,
        event: &PatientEvent,
        mut notification: Notification,
    ) -> Result<Start<'a>, TableError> {
        notification.lease_until = lease_from_now();
        let stored = match put_if_new(table, event, &notification).await? {
            Stored::New => None,
            // Our own id comes back if the SDK stored it, missed the response and retried.
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

    /// Of all functions that find the lease expired at the same time, one gets the next lease.
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

    /// The notification to be sent.
    #[must_use]
    pub const fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The mail service has accepted it. Tries harder than usual to record that, because otherwise
    /// a second message follows.
    ///
    /// # Errors
    /// If the table does not respond for several seconds.
    pub async fn sent(self, message_id: &str) -> Result<(), TableError> {
        let sent_at = Utc::now().to_rfc3339();
        let attempts = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(100))
            .with_max_times(3);
        let write = || {
            self.update(Update {
                set: "#state = :sent, sentAt = :sentAt, messageId = :messageId",
                // A repetition may find that it has arrived, or come back, meanwhile.
                condition: "#state = :pending",
                values: vec![
                    (":sent", text("SENT")),
                    (":sentAt", text(&sent_at)),
                    (":messageId", text(message_id)),
                    (":pending", text("PENDING")),
                ],
            })
        };
        write.retry(attempts).await.map(|_| ())
    }

    /// The mail service will never accept it.
    ///
    /// # Errors
    /// If the table does not respond.
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

    /// It is never sent, for this reason.
    ///
    /// # Errors
    /// If the table does not respond.
    pub async fn suppressed(self, reason: Suppression) -> Result<(), TableError> {
        self.update(Update {
            set: "#state = :suppressed, suppression = :reason",
            condition: "#state = :pending",
            values: vec![
                (":suppressed", text("SUPPRESSED")),
                (":reason", text(reason.name())),
                (":pending", text("PENDING")),
            ],
        })
        .await
        .map(|_| ())
    }

    /// It was not sent: the next attempt need not wait for the lease to expire.
    ///
    /// # Errors
    /// If the table does not respond.
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

    /// Returns whether the condition held and the item was changed.
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

/// A change to the item.
struct Update {
    set: &'static str,
    condition: &'static str,
    values: Vec<(&'static str, AttributeValue)>,
}

pub(crate) fn is_refused_condition(error: &SdkError<UpdateItemError>) -> bool {
    error
        .as_service_error()
        .is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// The result of storing a notification.
enum Stored {
    /// It was stored.
    New,
    /// The event already has this one.
    Before(Box<Notification>),
    /// The event had one, which somebody has deleted.
    Removed,
    /// A later version of the patient has been seen.
    OutOfDate,
}

/// Stores the event's notification and advances the patient's mark: both or neither.
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

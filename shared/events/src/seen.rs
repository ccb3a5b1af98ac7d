//! Which version of each patient or appointment a consumer has seen last, in the consumer's own
//! table.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `SEEN#<patient id>` | `MARK` | `patientVersion`; `eventId`, of the event that made it; `expiresAt`, seconds since 1970, while the patient is deleted |
//! | `SEEN#<appointment id>` | `MARK` | `appointmentVersion`; `eventId`; `expiresAt`, always |
//! | `SEEN#<event id>` | `MARK` | `billingEvent`, 1; `eventId`; `expiresAt`, always: nothing that happens in billing is overtaken |
//!
//! The mark advances in the transaction of the event's effect, and never goes back. A version
//! belongs to one event, so the mark also reveals duplicates.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::BuildError,
    operation::update_item::UpdateItemError,
    types::{
        AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure::AllOld,
        TransactWriteItem, Update,
    },
};
use chrono::{DateTime, Days, Utc};
use store::{Table, failure_code};
use uuid::Uuid;

use crate::{Effect, Event, Mark};

/// How long the mark of a deleted patient or a past appointment is kept: longer than first Kafka (7
/// days) and then the dead-letter queue (14 days) keep a record, so that nothing can be redelivered
/// after that.
const REMEMBERED_FOR: Days = Days::new(30);

/// The partition of the mark of this patient or appointment.
#[must_use]
pub fn partition(id: Uuid) -> String {
    format!("SEEN#{id}")
}

/// The sort key of every mark.
pub const SORT: &str = "MARK";

/// Advances the mark of the patient or appointment to this event, as part of a transaction. It fails
/// if the mark is already there or further ahead; [`effect_of_refusal`] says which.
///
/// # Errors
/// Only if the request cannot be built.
pub fn mark(table: &Table, event: &impl Event) -> Result<TransactWriteItem, BuildError> {
    advance(table, event, event)
}

/// Advances the mark of the patient or appointment over several events of theirs, from the first to
/// the last, as part of a transaction. It fails if the mark is already at the first one or further
/// ahead; [`Seen::in_refusal`] says where it is.
///
/// # Errors
/// Only if the request cannot be built.
pub fn advance<E: Event>(
    table: &Table,
    first: &E,
    last: &E,
) -> Result<TransactWriteItem, BuildError> {
    let update = update(table, first, last)?;
    Ok(TransactWriteItem::builder().update(update).build())
}

/// Advances the mark of the patient or appointment to this event, of which nothing else follows, and
/// returns what the event did: `None` if the mark has advanced.
///
/// # Errors
/// If the table does not respond: then the mark may have advanced all the same.
pub async fn see(table: &Table, event: &impl Event) -> Result<Option<Effect>, MarkError> {
    let update = update(table, event, event)?;
    // Half the price of a transaction.
    let request = table.client().await.update_item();
    let answer = request
        .table_name(update.table_name)
        .set_key(Some(update.key))
        .update_expression(update.update_expression)
        .set_condition_expression(update.condition_expression)
        .set_expression_attribute_names(update.expression_attribute_names)
        .set_expression_attribute_values(update.expression_attribute_values)
        .return_values_on_condition_check_failure(AllOld)
        .send()
        .await;
    let Err(error) = answer else {
        return Ok(None);
    };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
            Ok(Some(effect_of(refusal.item(), event)))
        }
        _ => Err(MarkError::Failed(failure_code(&error))),
    }
}

/// Why a mark did not advance. Reveals nothing of what it says.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The table rejected the request, or did not respond.
    #[error("{0}")]
    Failed(String),
    /// The request is incomplete.
    #[error("the mark cannot be written")]
    Request(#[from] BuildError),
}

fn update<E: Event>(table: &Table, first: &E, last: &E) -> Result<Update, BuildError> {
    let mark = last.mark();
    let first = first.mark().version.to_string();
    let update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(partition(mark.about)))
        .key("sk", AttributeValue::S(SORT.to_owned()))
        .condition_expression("attribute_not_exists(#version) OR #version < :first")
        .expression_attribute_names("#version", mark.attribute)
        .expression_attribute_values(":first", AttributeValue::N(first))
        .expression_attribute_values(":version", AttributeValue::N(mark.version.to_string()))
        .expression_attribute_values(":event", AttributeValue::S(last.id().to_string()))
        .return_values_on_condition_check_failure(AllOld);
    let update = if let Some(expires_at) = expires_at(mark, Utc::now()) {
        let seconds = expires_at.timestamp().to_string();
        update
            .update_expression("SET #version = :version, eventId = :event, expiresAt = :expiresAt")
            .expression_attribute_values(":expiresAt", AttributeValue::N(seconds))
    } else {
        // Who was deleted and is restored is not over.
        update.update_expression("SET #version = :version, eventId = :event REMOVE expiresAt")
    };
    update.build()
}

/// When a mark that is made now expires. An event may come long after it occurred, and may be
/// redelivered as long as any other.
fn expires_at(mark: Mark, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    mark.over_at?.max(now).checked_add_days(REMEMBERED_FOR)
}

/// What a failed transaction means for the event: `None` if the mark was not the reason. `reason`
/// is that of the mark's part.
#[must_use]
pub fn effect_of_refusal(
    reason: Option<&CancellationReason>,
    event: &impl Event,
) -> Option<Effect> {
    let reason = reason.filter(|reason| reason.code() == Some("ConditionalCheckFailed"))?;
    Some(effect_of(reason.item(), event))
}

/// What an event did whose mark is this one.
fn effect_of(mark: Option<&HashMap<String, AttributeValue>>, event: &impl Event) -> Effect {
    let stored = mark.and_then(|mark| mark.get("eventId"));
    let is_same = stored
        .and_then(|id| id.as_s().ok())
        .is_none_or(|id| *id == event.id().to_string());
    if is_same {
        Effect::AlreadyApplied
    } else {
        Effect::OutOfDate
    }
}

/// Where a mark is, as a transaction that it has refused tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The version that was seen last.
    pub version: i64,
    /// The event that made it; `None` if that was not noted.
    pub event_id: Option<Uuid>,
}

impl Seen {
    /// The mark that has advanced to this event.
    #[must_use]
    pub fn after(event: &impl Event) -> Self {
        Self {
            version: event.mark().version,
            event_id: Some(event.id()),
        }
    }

    /// What this event would do: `None` if it is newer.
    #[must_use]
    pub fn effect_of(&self, event: &impl Event) -> Option<Effect> {
        if event.mark().version > self.version {
            return None;
        }
        Some(if self.event_id.is_none_or(|id| id == event.id()) {
            Effect::AlreadyApplied
        } else {
            Effect::OutOfDate
        })
    }

    /// Where the mark is that has refused a transaction with events like this; `None` if it was not
    /// the reason. `reason` is that of the mark's part.
    #[must_use]
    pub fn in_refusal(reason: &CancellationReason, event: &impl Event) -> Option<Self> {
        if reason.code() != Some("ConditionalCheckFailed") {
            return None;
        }
        let stored = reason.item()?;
        let version = stored.get(event.mark().attribute)?.as_n().ok()?;
        let event_id = stored.get("eventId").and_then(|id| id.as_s().ok());
        Some(Self {
            version: version.parse().ok()?,
            event_id: event_id.and_then(|id| id.parse().ok()),
        })
    }
}

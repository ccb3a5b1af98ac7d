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

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure::AllOld,
        TransactWriteItem, Update,
    },
};
use chrono::{DateTime, Days, Utc};
use store::Table;
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
    let mark = event.mark();
    let update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(partition(mark.about)))
        .key("sk", AttributeValue::S(SORT.to_owned()))
        .condition_expression("attribute_not_exists(#version) OR #version < :version")
        .expression_attribute_names("#version", mark.attribute)
        .expression_attribute_values(":version", AttributeValue::N(mark.version.to_string()))
        .expression_attribute_values(":event", AttributeValue::S(event.id().to_string()))
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
    Ok(TransactWriteItem::builder().update(update.build()?).build())
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
    let stored = reason.item().and_then(|item| item.get("eventId"));
    let is_same = stored
        .and_then(|id| id.as_s().ok())
        .is_none_or(|id| *id == event.id().to_string());
    Some(if is_same {
        Effect::AlreadyApplied
    } else {
        Effect::OutOfDate
    })
}

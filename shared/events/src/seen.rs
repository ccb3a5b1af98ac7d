//! Which version of each patient a consumer has seen last, in the consumer's own table.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `SEEN#<patient id>` | `MARK` | `patientVersion`; `eventId`, of the event that made it; `expiresAt`, seconds since 1970, once the patient is deleted |
//!
//! The mark moves in the transaction of the event's effect, and never backwards. A version
//! belongs to one event, so that the mark also tells an event that comes again.

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure::AllOld,
        TransactWriteItem, Update,
    },
};
use chrono::{Days, Utc};
use store::Table;
use uuid::Uuid;

use crate::{Change, Effect, PatientEvent};

/// For how long a deleted patient's mark stays. Longer than Kafka (7 days) and after it the
/// dead-letter queue (14 days) keep a record, so that nothing can come again after that.
const REMEMBERED_FOR: Days = Days::new(30);

/// The partition of a patient's mark.
#[must_use]
pub fn partition(patient_id: Uuid) -> String {
    format!("SEEN#{patient_id}")
}

/// The sort key of every mark.
pub const SORT: &str = "MARK";

/// Moves the patient's mark to this event, as a part of a transaction. It is refused if the
/// mark is there already, or further: then [`effect_of_refusal`] says which.
///
/// # Errors
/// None that a table's name could not cause.
pub fn mark(table: &Table, event: &PatientEvent) -> Result<TransactWriteItem, BuildError> {
    let update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(partition(event.patient_id)))
        .key("sk", AttributeValue::S(SORT.to_owned()))
        .condition_expression("attribute_not_exists(patientVersion) OR patientVersion < :version")
        .expression_attribute_values(
            ":version",
            AttributeValue::N(event.patient_version.to_string()),
        )
        .expression_attribute_values(":event", AttributeValue::S(event.id.to_string()))
        .return_values_on_condition_check_failure(AllOld);
    let update = if event.change == Change::Deleted {
        let expires_at = (Utc::now() + REMEMBERED_FOR).timestamp();
        update
            .update_expression(
                "SET patientVersion = :version, eventId = :event, expiresAt = :expiresAt",
            )
            .expression_attribute_values(":expiresAt", AttributeValue::N(expires_at.to_string()))
    } else {
        update.update_expression("SET patientVersion = :version, eventId = :event")
    };
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

/// What a refused transaction means for the event: `None` if it was not the mark that
/// refused it. `reason` is the one of the mark's part.
#[must_use]
pub fn effect_of_refusal(
    reason: Option<&CancellationReason>,
    event: &PatientEvent,
) -> Option<Effect> {
    let reason = reason.filter(|reason| reason.code() == Some("ConditionalCheckFailed"))?;
    let stored = reason.item().and_then(|item| item.get("eventId"));
    let is_same = stored
        .and_then(|id| id.as_s().ok())
        .is_none_or(|id| *id == event.id.to_string());
    Some(if is_same {
        Effect::AlreadyApplied
    } else {
        Effect::OutOfDate
    })
}

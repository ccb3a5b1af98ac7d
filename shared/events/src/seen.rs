//! Which version of each patient a consumer has seen last, in the consumer's own table.
//!
//! | `pk` | `sk` | attributes |
//! |---|---|---|
//! | `SEEN#<patient id>` | `MARK` | `patientVersion`; `eventId`, of the event that made it; `expiresAt`, seconds since 1970, once the patient is deleted |
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
use chrono::{Days, Utc};
use store::Table;
use uuid::Uuid;

use crate::{Change, Effect, PatientEvent};

/// How long a deleted patient's mark is kept: longer than first Kafka (7 days) and then the
/// dead-letter queue (14 days) keep a record, so that nothing can be redelivered after that.
const REMEMBERED_FOR: Days = Days::new(30);

/// The partition of a patient's mark.
#[must_use]
pub fn partition(patient_id: Uuid) -> String {
    format!("SEEN#{patient_id}")
}

/// The sort key of every mark.
pub const SORT: &str = "MARK";

/// Advances the patient's mark to this event, as part of a transaction. It fails if the mark is
/// already there or further ahead; [`effect_of_refusal`] says which.
///
/// # Errors
/// Only if the request cannot be built.
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

/// What a failed transaction means for the event: `None` if the mark was not the reason. `reason`
/// is that of the mark's part.
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

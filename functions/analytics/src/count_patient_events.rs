//! Counts every patient event once, on the day when it happened, in the clinic's time zone.
//!
//! One transaction advances the patient's mark to the event's version and adds the event to the
//! day's counters. So an event that is redelivered, or arrives after a later one of its patient,
//! fails on the mark and changes nothing.

use api::ClinicTimeZone;
use aws_sdk_dynamodb::{
    error::BuildError,
    types::{AttributeValue, TransactWriteItem, Update},
};
use chrono::NaiveDate;
use events::{Change, Effect, PatientEvent, seen};
use store::{Table, TransactionError};

use crate::{
    age_band::AgeBand,
    counters::{band_attribute, month_partition},
};

/// Why an event was not counted. It has to be redelivered: either nothing was counted, or the mark
/// will tell.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The table rejected the transaction, or did not respond.
    #[error("the analytics table did not accept the event: {0}")]
    Table(#[from] TransactionError),
    /// The request to the table is incomplete.
    #[error("the event cannot be written to the analytics table")]
    Request(#[from] BuildError),
}

/// Counts this event, unless it has been counted or is out of date.
///
/// # Errors
/// If it could not be written, even after a few attempts.
pub async fn count(
    table: &Table,
    clinic: ClinicTimeZone,
    event: &PatientEvent,
) -> Result<Effect, CountError> {
    let day = clinic.day(event.occurred_at);
    let items = vec![seen::mark(table, event)?, counters(table, day, event)?];
    match table.transact(items).await {
        Ok(()) => Ok(Effect::Applied),
        Err(TransactionError::Refused(reasons)) => seen::effect_of_refusal(reasons.first(), event)
            .ok_or_else(|| TransactionError::Refused(reasons).into()),
        Err(error) => Err(error.into()),
    }
}

fn counters(
    table: &Table,
    day: NaiveDate,
    event: &PatientEvent,
) -> Result<TransactWriteItem, BuildError> {
    let update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(month_partition(day)))
        .key("sk", AttributeValue::S(day.to_string()))
        .expression_attribute_names("#kind", event.change.kind())
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
    let update = match &event.change {
        Change::Created(patient) | Change::CreatedWithoutWelcome(patient) => {
            let band = AgeBand::at_registration(patient.date_of_birth, patient.registered_date);
            update
                .expression_attribute_names("#band", band_attribute(band))
                .update_expression("ADD #kind :one, #band :one")
        }
        Change::Updated(_)
        | Change::Deleted
        | Change::Restored(_)
        | Change::Erased
        | Change::Merged { .. }
        | Change::Unmerged(_) => update.update_expression("ADD #kind :one"),
    };
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

//! Counts every patient event once, on the day it happened.
//!
//! One transaction marks the event as counted and adds it to the day's counters, so that an
//! event that comes again, in whatever way, finds its mark and changes nothing. Counting
//! does not depend on the order in which events come.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::{BuildError, SdkError},
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, CancellationReason, Put, TransactWriteItem, Update},
};
use backon::{ExponentialBuilder, Retryable as _};
use chrono::{Days, Utc};
use events::{Change, Effect, PatientEvent};
use store::{Table, failure_code};

use crate::{
    age_band::AgeBand,
    counters::{MARK, band_attribute, mark_partition, month_partition},
};

/// For how long the table remembers that an event was counted. Far longer than Kafka keeps
/// a record, so nothing can come again after that.
const REMEMBERED_FOR: Days = Days::new(30);

/// Why an event is not counted. It has to come again: nothing was counted, or its mark tells.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// Others kept changing the same day's counters.
    #[error("the day's counters stayed in use by other events")]
    Conflict(#[source] SdkError<TransactWriteItemsError>),
    /// The table refused, or did not answer.
    #[error("the analytics table did not take the event: {}", failure_code(.0))]
    Table(#[source] SdkError<TransactWriteItemsError>),
    /// The request to the table is incomplete.
    #[error("the event cannot be written to the analytics table")]
    Request(#[from] BuildError),
}

/// Counts this event, unless it was counted before.
///
/// # Errors
/// If the table did not take it, also after a few attempts.
pub async fn count(table: &Table, event: &PatientEvent) -> Result<Effect, CountError> {
    // Two functions at the same day's counters collide in DynamoDB, and one of them has to
    // try again; with jitter they do not meet again.
    let attempts = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_millis(500))
        .with_max_times(8);
    (|| attempt(table, event))
        .retry(attempts)
        .when(|error| matches!(error, CountError::Conflict(_)))
        .await
}

async fn attempt(table: &Table, event: &PatientEvent) -> Result<Effect, CountError> {
    let written = table
        .client()
        .await
        .transact_write_items()
        .transact_items(mark(table, event)?)
        .transact_items(counters(table, event)?)
        .send()
        .await;
    match written {
        Ok(_) => Ok(Effect::Applied),
        Err(error) if is_marked(&error) => Ok(Effect::AlreadyApplied),
        Err(error) if is_conflict(&error) => Err(CountError::Conflict(error)),
        Err(error) => Err(CountError::Table(error)),
    }
}

fn mark(table: &Table, event: &PatientEvent) -> Result<TransactWriteItem, BuildError> {
    let expires_at = Utc::now() + REMEMBERED_FOR;
    let put = Put::builder()
        .table_name(table.name())
        .item("pk", AttributeValue::S(mark_partition(event.id)))
        .item("sk", AttributeValue::S(MARK.to_owned()))
        .item(
            "expiresAt",
            AttributeValue::N(expires_at.timestamp().to_string()),
        )
        .condition_expression("attribute_not_exists(pk)")
        .build()?;
    Ok(TransactWriteItem::builder().put(put).build())
}

fn counters(table: &Table, event: &PatientEvent) -> Result<TransactWriteItem, BuildError> {
    let day = event.occurred_at.date_naive();
    let update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(month_partition(day)))
        .key("sk", AttributeValue::S(day.to_string()))
        .expression_attribute_names("#kind", event.change.kind())
        .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
    let update = match &event.change {
        Change::Created(patient) => {
            let band = AgeBand::at_registration(patient.date_of_birth, patient.registered_date);
            update
                .expression_attribute_names("#band", band_attribute(band))
                .update_expression("ADD #kind :one, #band :one")
        }
        Change::Updated(_) | Change::Deleted => update.update_expression("ADD #kind :one"),
    };
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

/// Whether the transaction was refused because of the mark, the first of its items.
fn is_marked(error: &SdkError<TransactWriteItemsError>) -> bool {
    cancellation_reasons(error)
        .first()
        .is_some_and(|mark| mark.code() == Some("ConditionalCheckFailed"))
}

fn is_conflict(error: &SdkError<TransactWriteItemsError>) -> bool {
    cancellation_reasons(error)
        .iter()
        .any(|reason| reason.code() == Some("TransactionConflict"))
}

fn cancellation_reasons(error: &SdkError<TransactWriteItemsError>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => &[],
    }
}

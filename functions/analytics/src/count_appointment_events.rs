//! Counts what becomes of appointments.
//!
//! An appointment counts on the day that it is for, as what it is now: it moves from one counter to
//! another, and to another day, with one transaction that also notes as what it was counted. A
//! booking, a move and a cancellation count besides on the day on which they were made. An event
//! that is redelivered, or overtaken by a later one, is recognised by that note: see
//! `src/appointments/counted.rs`.

use api::ClinicTimeZone;
use aws_sdk_dynamodb::{
    error::BuildError,
    types::{AttributeValue, Put, TransactWriteItem, Update},
};
use chrono::Utc;
use events::{AppointmentEvent, Effect};
use store::{Table, TransactionError, failure_code};
use uuid::Uuid;

use crate::{
    appointments::{
        cell::Cell,
        counted::{Counted, Outcome, count as count_after},
        figures::Figures,
    },
    counters::Item,
};

/// How often an event is retried that collides with another one of its appointment, which are on
/// one partition and so do not come at the same time.
const ATTEMPTS: u32 = 5;

/// Why an event was not counted. It has to be redelivered: either nothing was counted, or the note
/// will tell.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// The table rejected the transaction, or did not respond.
    #[error("the analytics table did not accept the event: {0}")]
    Table(#[from] TransactionError),
    /// The table did not say what the appointment was counted as.
    #[error("the analytics table could not be read: {0}")]
    Reading(String),
    /// What it said cannot be read, or the note not written.
    #[error("the note on the appointment is malformed")]
    Malformed(#[from] serde_dynamo::Error),
    /// The request to the table is incomplete.
    #[error("the event cannot be written to the analytics table")]
    Request(#[from] BuildError),
    /// Other events of the appointment kept being counted.
    #[error("other events of the appointment kept being counted")]
    Contended,
}

/// Counts this event, unless it has been counted.
///
/// # Errors
/// If it could not be written, even after a few attempts.
pub async fn count(
    table: &Table,
    clinic: ClinicTimeZone,
    event: &AppointmentEvent,
) -> Result<Effect, CountError> {
    for _ in 0..ATTEMPTS {
        let before = read(table, event.appointment_id).await?;
        let (after, changes) = match count_after(before.as_ref(), event, clinic, Utc::now()) {
            Outcome::AlreadyCounted => return Ok(Effect::AlreadyApplied),
            Outcome::TooOld => return Ok(Effect::OutOfDate),
            Outcome::Counts(after, changes) => (after, changes),
        };
        let mut items = vec![note(table, event.appointment_id, before.as_ref(), &after)?];
        for (cell, figures) in changes.cells() {
            items.push(add(table, cell, figures)?);
        }
        match table.transact(items).await {
            Ok(()) => return Ok(Effect::Applied),
            // Only the note has a condition: another event has been counted since it was read.
            Err(TransactionError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(CountError::Contended)
}

/// What the appointment was last counted as.
async fn read(table: &Table, appointment: Uuid) -> Result<Option<Counted>, CountError> {
    let [pk, sk] = key(appointment);
    let get = table.client().await.get_item().table_name(table.name());
    let answer = get
        .key("pk", pk)
        .key("sk", sk)
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| CountError::Reading(failure_code(&error)))?;
    Ok(answer.item.map(serde_dynamo::from_item).transpose()?)
}

/// Notes as what the appointment is counted now, if the note is still the one that was read.
fn note(
    table: &Table,
    appointment: Uuid,
    before: Option<&Counted>,
    after: &Counted,
) -> Result<TransactWriteItem, CountError> {
    let [pk, sk] = key(appointment);
    let mut item: Item = serde_dynamo::to_item(after)?;
    item.insert("pk".to_owned(), pk);
    item.insert("sk".to_owned(), sk);
    let put = Put::builder().table_name(table.name()).set_item(Some(item));
    let put = match before {
        None => put.condition_expression("attribute_not_exists(pk)"),
        Some(before) => put
            .condition_expression("eventId = :before")
            .expression_attribute_values(":before", AttributeValue::S(before.event_id.to_string())),
    };
    Ok(TransactWriteItem::builder().put(put.build()?).build())
}

/// Adds to the counters of a cell.
fn add(table: &Table, cell: &Cell, figures: &Figures) -> Result<TransactWriteItem, BuildError> {
    let mut update = Update::builder()
        .table_name(table.name())
        .key("pk", AttributeValue::S(cell.partition()))
        .key("sk", AttributeValue::S(cell.sort()));
    let mut additions = Vec::new();
    for (counter, number) in figures.changes() {
        let name = counter.name();
        additions.push(format!("#{name} :{name}"));
        update = update
            .expression_attribute_names(format!("#{name}"), name)
            .expression_attribute_values(format!(":{name}"), AttributeValue::N(number.to_string()));
    }
    let update = update.update_expression(format!("ADD {}", additions.join(", ")));
    Ok(TransactWriteItem::builder().update(update.build()?).build())
}

fn key(appointment: Uuid) -> [AttributeValue; 2] {
    let partition = format!("APPOINTMENT#{appointment}");
    [partition, "COUNTED".to_owned()].map(AttributeValue::S)
}

//! Counts what happens in billing, on the day on which it was booked.
//!
//! Everything that happens is told once, and nothing that happens later changes what it adds to. So each
//! event has a mark of its own, which is written in the transaction that adds it, and the figures are the
//! same in whatever order the events come. Nothing in the table says whose they were.

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{AttributeValue, TransactWriteItem, Update},
};
use events::{BillingEvent, Effect, seen};
use money::UnknownCurrency;
use store::{Table, TransactionError};

use crate::billing::{
    cell::{Cell, cells},
    figures::Figures,
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
    /// There is no such currency.
    #[error("the event is in a currency that does not exist")]
    Currency(#[from] UnknownCurrency),
}

/// Counts this event, unless it has been counted.
///
/// # Errors
/// If it could not be written, even after a few attempts.
pub async fn count(table: &Table, event: &BillingEvent) -> Result<Effect, CountError> {
    let mut items = vec![seen::mark(table, event)?];
    for (cell, figures) in cells(event)? {
        if figures.changes().next().is_some() {
            items.push(add(table, cell, &figures)?);
        }
    }
    match table.transact(items).await {
        Ok(()) => Ok(Effect::Applied),
        Err(TransactionError::Refused(reasons)) => seen::effect_of_refusal(reasons.first(), event)
            .ok_or_else(|| TransactionError::Refused(reasons).into()),
        Err(error) => Err(error.into()),
    }
}

/// Adds to the counters of a cell.
fn add(table: &Table, cell: Cell, figures: &Figures) -> Result<TransactWriteItem, BuildError> {
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

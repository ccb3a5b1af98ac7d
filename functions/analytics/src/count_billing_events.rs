//! Counts what happens in billing, on the day on which it was booked.
//!
//! Everything that happens is told once, and nothing that happens later changes what it adds to. So each
//! event has a mark of its own, which is written in the transaction that adds it, and the figures are the
//! same in whatever order the events come. Nothing in the table says whose they were.

use events::{Batch, BillingEvent, Handled};
use store::Table;

pub use crate::counting::CountError;
use crate::{
    additions::{Additions, Place},
    billing::cell::cells,
    counting::by_marks,
};

/// Counts these events, except those that have been counted.
pub async fn count(table: &Table, batch: Batch<'_, BillingEvent>) -> Handled<CountError> {
    by_marks(table, &batch, additions).await
}

fn additions(event: &BillingEvent) -> Result<Additions, CountError> {
    let mut additions = Additions::default();
    for (cell, figures) in cells(event)? {
        for (counter, number) in figures.changes() {
            let place = Place {
                partition: cell.partition(),
                sort: cell.sort(),
            };
            additions.add(place, counter.name(), number);
        }
    }
    Ok(additions)
}

//! Where billing is counted.
//!
//! What is open at the end of a day is the sum of all that has changed until then. So changes are kept
//! for each day, and for each month besides: whoever asks for a day adds up the months before, and the
//! days of its month.

use chrono::{Datelike as _, Days, NaiveDate};
use events::{Amount, BillingChange, BillingEvent, Method};
use money::{Currency, UnknownCurrency};

use super::figures::{Counter, Figures, Way};

/// How long an amount is overdue before it no longer matters for how long.
pub(crate) const LONG: Days = Days::new(91);

/// An item of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// What was invoiced and paid on a day.
    Day {
        /// The day.
        day: NaiveDate,
        /// In this currency.
        currency: Currency,
    },
    /// What has become more or less due on a day, or in a month.
    Open {
        /// The day, or the first of the month.
        at: At,
        /// Until when it is to be paid.
        due_date: NaiveDate,
        /// In this currency.
        currency: Currency,
    },
}

/// When something has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum At {
    /// On this day.
    Day(NaiveDate),
    /// In the month that begins with this day.
    Month(NaiveDate),
}

/// A key is not one of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sort key is not that of a cell")]
pub(crate) struct MalformedCell;

/// The partition with all months.
pub(crate) const OPEN_BY_MONTH: &str = "BILLING-OPEN";

/// The partition with what was invoiced and paid on the days of a month.
pub(crate) fn days_of(month: NaiveDate) -> String {
    month.format("BILLING-DAYS#%Y-%m").to_string()
}

/// The partition with what has become more or less due on the days of a month.
pub(crate) fn open_days_of(month: NaiveDate) -> String {
    month.format("BILLING-OPEN#%Y-%m").to_string()
}

/// A month in a sort key.
pub(crate) fn month(day: NaiveDate) -> String {
    day.format("%Y-%m").to_string()
}

/// The first day of a month.
pub(crate) fn first_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

impl Cell {
    /// The partition key.
    pub(crate) fn partition(self) -> String {
        match self {
            Self::Day { day, .. } => days_of(day),
            Self::Open { at, .. } => match at {
                At::Day(day) => open_days_of(day),
                At::Month(_) => OPEN_BY_MONTH.to_owned(),
            },
        }
    }

    /// The sort key, which begins with the time.
    pub(crate) fn sort(self) -> String {
        match self {
            Self::Day { day, currency } => format!("{day}#{currency}"),
            Self::Open {
                at,
                due_date,
                currency,
            } => match at {
                At::Day(day) => format!("{day}#{due_date}#{currency}"),
                At::Month(first) => format!("{}#{due_date}#{currency}", month(first)),
            },
        }
    }

    /// The cell of a day with this sort key.
    ///
    /// # Errors
    /// If it is not that of a day.
    pub(crate) fn day(sort: &str) -> Result<(NaiveDate, Currency), MalformedCell> {
        let (day, currency) = sort.split_once('#').ok_or(MalformedCell)?;
        Ok((
            day.parse().map_err(|_| MalformedCell)?,
            currency.parse().map_err(|_| MalformedCell)?,
        ))
    }

    /// When something has changed, what is due until when, and in which currency, by this sort key.
    ///
    /// # Errors
    /// If it is not that of such a cell.
    pub(crate) fn open(sort: &str) -> Result<(&str, NaiveDate, Currency), MalformedCell> {
        let (at, rest) = sort.split_once('#').ok_or(MalformedCell)?;
        let (due_date, currency) = Self::day(rest)?;
        Ok((at, due_date, currency))
    }
}

/// What an event adds to which cells.
///
/// # Errors
/// If its currency does not exist.
pub(crate) fn cells(event: &BillingEvent) -> Result<Vec<(Cell, Figures)>, UnknownCurrency> {
    let day = event.business_date;
    let of_day = |currency: &Amount, figures: &[(Counter, i64)]| {
        let currency = currency.currency.parse()?;
        let figures = figures.iter().copied().collect();
        Ok(vec![(Cell::Day { day, currency }, figures)])
    };
    let units = |amount: &Amount| amount.minor_units;
    let net = |total: &Amount, tax: &Amount| units(total) - units(tax);
    match &event.change {
        BillingChange::InvoiceIssued { total, tax, .. } => of_day(
            total,
            &[
                (Counter::Issued, net(total, tax)),
                (Counter::Tax, units(tax)),
            ],
        ),
        BillingChange::InvoiceVoided { total, tax, .. } => of_day(
            total,
            &[
                (Counter::Voided, net(total, tax)),
                (Counter::Tax, -units(tax)),
            ],
        ),
        BillingChange::CreditNoteIssued { total, tax, .. } => of_day(
            total,
            &[
                (Counter::Credited, net(total, tax)),
                (Counter::Tax, -units(tax)),
            ],
        ),
        BillingChange::InvoiceWrittenOff { amount, .. } => {
            of_day(amount, &[(Counter::WrittenOff, units(amount))])
        }
        BillingChange::PaymentRecorded { amount, method, .. } => {
            let way = way(*method);
            of_day(amount, &[(way.payments, units(amount)), (way.count, 1)])
        }
        BillingChange::PaymentReversed { amount, method, .. } => {
            of_day(amount, &[(way(*method).reversed, units(amount))])
        }
        BillingChange::RefundCompleted { amount, method, .. } => {
            of_day(amount, &[(way(*method).refunds, units(amount))])
        }
        BillingChange::InvoiceDueChanged {
            change, due_date, ..
        } => {
            let currency = change.currency.parse()?;
            // What is overdue for long is so for ever: so a day has few of these.
            let long_ago = day.checked_sub_days(LONG).unwrap_or(day);
            let due_date = (*due_date).max(long_ago);
            let figures: Figures = [(Counter::Due, units(change))].into_iter().collect();
            let cell = |at| Cell::Open {
                at,
                due_date,
                currency,
            };
            Ok(vec![
                (cell(At::Day(day)), figures.clone()),
                (cell(At::Month(first_of(day))), figures),
            ])
        }
    }
}

const fn way(method: Method) -> Way {
    match method {
        Method::Cash => Way::CASH,
        Method::Card => Way::CARD,
        Method::Transfer => Way::TRANSFER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_found_by_its_keys() {
        let (day, due_date) = ("2026-03-29".parse().unwrap(), "2026-04-28".parse().unwrap());
        let currency = "EUR".parse().unwrap();
        let cell = Cell::Day { day, currency };
        assert_eq!(
            (&*cell.partition(), &*cell.sort()),
            ("BILLING-DAYS#2026-03", "2026-03-29#EUR")
        );
        assert_eq!(Cell::day(&cell.sort()), Ok((day, currency)));
        for (at, partition, sort) in [
            (
                At::Day(day),
                "BILLING-OPEN#2026-03",
                "2026-03-29#2026-04-28#EUR",
            ),
            (
                At::Month(first_of(day)),
                "BILLING-OPEN",
                "2026-03#2026-04-28#EUR",
            ),
        ] {
            let cell = Cell::Open {
                at,
                due_date,
                currency,
            };
            assert_eq!((&*cell.partition(), &*cell.sort()), (partition, sort));
            let (_, due, of) = Cell::open(sort).unwrap();
            assert_eq!((due, of), (due_date, currency));
        }
    }

    #[test]
    fn other_keys_are_malformed() {
        for key in ["", "2026-03-29", "today#EUR", "2026-03-29#EURO", "#"] {
            assert_eq!(Cell::day(key), Err(MalformedCell), "{key}");
            assert_eq!(Cell::open(key), Err(MalformedCell), "{key}");
        }
    }
}

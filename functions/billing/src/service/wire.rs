//! Small things in the form in which they are passed on.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::Money;
use events::Amount;
use prost_types::Timestamp;
use uuid::Uuid;

/// An amount in the smallest unit of the currency.
pub(crate) fn money(currency: &str, minor_units: i64) -> Money {
    Money {
        currency_code: currency.to_owned(),
        minor_units,
    }
}

/// The same in an event.
pub(crate) fn amount(currency: &str, minor_units: i64) -> Amount {
    Amount {
        currency: currency.to_owned(),
        minor_units,
    }
}

/// An instant.
pub(crate) fn time(time: DateTime<Utc>) -> Timestamp {
    SystemTime::from(time).into()
}

/// A day; empty if there is none.
pub(crate) fn day(day: Option<NaiveDate>) -> String {
    day.map(|day| day.to_string()).unwrap_or_default()
}

/// An id; empty if there is none.
pub(crate) fn id(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// A number that the database bounds to 0 and more.
pub(crate) fn count(number: i32) -> u32 {
    number.unsigned_abs()
}

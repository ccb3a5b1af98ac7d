//! Reads what the service answers. What is missing or unreadable there is an error of ours.

use api::{EntityTag, Problem};
use billing_client::BillingError;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use uuid::Uuid;

use crate::problem::problem;

/// What an answer has to have, as the API shows it.
pub(crate) fn required<Answer, Shown>(
    field: &'static str,
    answer: Option<Answer>,
) -> Result<Shown, Problem>
where
    Shown: TryFrom<Answer, Error = BillingError>,
{
    let answer = answer.ok_or(BillingError::Unreadable(field));
    answer.and_then(Shown::try_from).map_err(problem)
}

/// An id.
pub(crate) fn id(field: &'static str, text: &str) -> Result<Uuid, BillingError> {
    text.parse().map_err(|_| BillingError::Unreadable(field))
}

/// An id, if there is one.
pub(crate) fn id_if_any(field: &'static str, text: &str) -> Result<Option<Uuid>, BillingError> {
    (!text.is_empty()).then(|| id(field, text)).transpose()
}

/// A text, if there is one.
pub(crate) fn text_if_any(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A day of the clinic's calendar.
pub(crate) fn day(field: &'static str, text: &str) -> Result<NaiveDate, BillingError> {
    api::day(text).map_err(|_| BillingError::Unreadable(field))
}

/// A day, if there is one.
pub(crate) fn day_if_any(
    field: &'static str,
    text: &str,
) -> Result<Option<NaiveDate>, BillingError> {
    (!text.is_empty()).then(|| day(field, text)).transpose()
}

/// An amount, or what amounts come to together: whatever is in the books can be read.
pub(crate) fn money(field: &'static str, amount: Option<v1::Money>) -> Result<Money, BillingError> {
    money_if_any(field, amount)?.ok_or(BillingError::Unreadable(field))
}

/// An amount, if there is one.
pub(crate) fn money_if_any(
    field: &'static str,
    amount: Option<v1::Money>,
) -> Result<Option<Money>, BillingError> {
    let read = |amount: v1::Money| {
        let currency = amount.currency_code.parse();
        let currency = currency.map_err(|_| BillingError::Unreadable(field))?;
        Ok(Money::sum(currency, amount.minor_units))
    };
    amount.map(read).transpose()
}

/// A time.
pub(crate) fn time(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<DateTime<Utc>, BillingError> {
    time_if_any(field, time)?.ok_or(BillingError::Unreadable(field))
}

/// A time, if there is one.
pub(crate) fn time_if_any(
    field: &'static str,
    time: Option<prost_types::Timestamp>,
) -> Result<Option<DateTime<Utc>>, BillingError> {
    let read = |time: prost_types::Timestamp| {
        let nanos = u32::try_from(time.nanos).ok()?;
        DateTime::from_timestamp(time.seconds, nanos)
    };
    time.map(|time| read(time).ok_or(BillingError::Unreadable(field)))
        .transpose()
}

/// A version: what the service calls an etag.
pub(crate) fn version(etag: &str) -> Result<EntityTag, BillingError> {
    let version = etag.parse().map(EntityTag);
    version.map_err(|_| BillingError::Unreadable("etag"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable<T>(read: &Result<T, BillingError>) -> bool {
        matches!(read, Err(BillingError::Unreadable("field")))
    }

    #[test]
    fn what_may_be_missing_is_told_from_what_is_unreadable() {
        let some = Uuid::from_u128(7);
        assert_eq!(id_if_any("field", &some.to_string()).unwrap(), Some(some));
        assert_eq!(id_if_any("field", "").unwrap(), None);
        assert!(unreadable(&id("field", "")));
        assert!(unreadable(&id_if_any("field", "7")));

        assert_eq!(day_if_any("field", "").unwrap(), None);
        assert!(unreadable(&day("field", "")));
        assert!(unreadable(&day_if_any("field", "2026-02-29")));

        assert_eq!(money_if_any("field", None).unwrap(), None);
        assert!(unreadable(&money("field", None)));
        let unknown = v1::Money {
            currency_code: "XXX".to_owned(),
            minor_units: 1,
        };
        assert!(unreadable(&money_if_any("field", Some(unknown))));
        let large = v1::Money {
            currency_code: "EUR".to_owned(),
            minor_units: 2 * money::MAX_MINOR_UNITS,
        };
        assert!(money("field", Some(large)).is_ok());

        assert_eq!(time_if_any("field", None).unwrap(), None);
        assert!(unreadable(&time("field", None)));
        let wrong = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        };
        assert!(unreadable(&time_if_any("field", Some(wrong))));
        assert_eq!(text_if_any(String::new()), None);
    }
}

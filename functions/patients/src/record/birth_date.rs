//! A birth date, as far as it is known.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::patient::InvalidField;

/// Nobody alive was born earlier.
const FIRST_YEAR: i32 = 1900;

/// How much of a birth date is known.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum BirthPrecision {
    /// The day.
    Day,
    /// The month and the year.
    Month,
    /// The year.
    Year,
}

/// A birth date, as far as it is known
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BirthDate, example = json!({
    "value": "1983-11-14", "precision": "DAY", "estimated": false
}))]
pub struct BirthDate {
    /// `YYYY-MM-DD`, `YYYY-MM` or `YYYY`.
    pub value: String,
    /// How much of it is known.
    pub precision: BirthPrecision,
    /// Whether it is somebody's estimate.
    pub estimated: bool,
}

impl BirthDate {
    /// The date on which this day is the first possible one.
    #[must_use]
    pub fn starting(day: NaiveDate, precision: BirthPrecision, estimated: bool) -> Self {
        let form = match precision {
            BirthPrecision::Day => "%Y-%m-%d",
            BirthPrecision::Month => "%Y-%m",
            BirthPrecision::Year => "%Y",
        };
        Self {
            value: day.format(form).to_string(),
            precision,
            estimated,
        }
    }

    /// A date that is known to the day.
    #[must_use]
    pub fn exact(day: NaiveDate) -> Self {
        Self::starting(day, BirthPrecision::Day, false)
    }

    /// The first day on which the patient can have been born.
    #[must_use]
    pub fn first_day(&self) -> NaiveDate {
        first_day(&self.value).map_or(NaiveDate::MIN, |(day, _)| day)
    }
}

/// A birth date as a client sends it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = BirthDateInput)]
pub struct BirthDateInput {
    /// `YYYY-MM-DD`, `YYYY-MM` or `YYYY`.
    #[schema(pattern = "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$")]
    value: String,
    /// Whether it is an estimate.
    #[serde(default)]
    estimated: bool,
    #[serde(default, rename = "precision")]
    #[schema(read_only, value_type = Option<BirthPrecision>)]
    _precision: api::ReadOnly,
}

impl BirthDateInput {
    /// The validated date, as of this moment.
    ///
    /// # Errors
    /// If it is no date, in the future, or before 1900.
    pub fn parse(self, now: DateTime<Utc>) -> Result<BirthDate, InvalidField> {
        let invalid = InvalidField::BirthDate;
        let (day, precision) = first_day(&self.value).ok_or(invalid)?;
        past("Date of birth", day, api::latest_day(now))?;
        Ok(BirthDate::starting(day, precision, self.estimated))
    }
}

/// The first day of what is written, and how much is.
fn first_day(text: &str) -> Option<(NaiveDate, BirthPrecision)> {
    let (whole, precision) = match text.len() {
        4 => (format!("{text}-01-01"), BirthPrecision::Year),
        7 => (format!("{text}-01"), BirthPrecision::Month),
        _ => (text.to_owned(), BirthPrecision::Day),
    };
    Some((api::day(&whole).ok()?, precision))
}

/// Rejects what is after this day, and what is before anybody alive was born.
///
/// # Errors
/// If the date is not between the two.
pub(crate) fn past(
    field: &'static str,
    date: NaiveDate,
    latest: NaiveDate,
) -> Result<NaiveDate, InvalidField> {
    if date > latest {
        return Err(InvalidField::Future(field));
    }
    if date.year() < FIRST_YEAR {
        return Err(InvalidField::Past(field));
    }
    Ok(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<BirthDate, InvalidField> {
        let input = BirthDateInput {
            value: value.to_owned(),
            estimated: true,
            _precision: api::ReadOnly,
        };
        input.parse(Utc::now())
    }

    #[test]
    fn a_birth_date_is_as_exact_as_it_is_written() {
        for (value, precision, first) in [
            ("1983-11-14", BirthPrecision::Day, "1983-11-14"),
            ("1983-11", BirthPrecision::Month, "1983-11-01"),
            ("1983", BirthPrecision::Year, "1983-01-01"),
        ] {
            let date = parse(value).unwrap_or_else(|_| panic!("{value} is a date"));
            assert_eq!(date.precision, precision);
            assert_eq!(date.first_day().to_string(), first);
            assert_eq!(date.value, value);
        }
        for value in ["", "83", "1983-13", "1983-1", "1983-11-31", "1899", "2999"] {
            assert!(parse(value).is_err(), "{value}");
        }
    }
}

//! The days that a client asks for.

use api::{ClinicTimeZone, DayOrTime, InputErrors, Problem};
use chrono::{Datelike as _, Days, Months, NaiveDate, TimeDelta};

/// The largest number of days in one request: a whole leap year.
const MAX_DAYS: i64 = 366;

/// How many days before `to` the period begins if `from` is not given: 30 days in all.
const DEFAULT_DAYS_BEFORE: Days = Days::new(29);

/// The days from the first to the last, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    from: NaiveDate,
    to: NaiveDate,
}

/// What is wrong with a date, or with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidPeriod {
    #[error("Must not be after to")]
    Order,
    #[error("The range must not be longer than 366 days")]
    Length,
}

impl Period {
    /// The days from `from` to `to`, each a day or a time. By default, the 30 days until `today`.
    ///
    /// # Errors
    /// 400 that names the invalid ones, with the reasons.
    pub fn parse(from: Option<&str>, to: Option<&str>, today: NaiveDate) -> Result<Self, Problem> {
        let mut errors = InputErrors::default();
        let to = errors.field("to", to.map(DayOrTime::parse).transpose());
        let from = errors.field("from", from.map(DayOrTime::parse).transpose());
        let (Some(from), Some(to)) = (from, to) else {
            return Err(errors.into_problem());
        };
        let to = to.map_or(today, |to| {
            let end = to.end(ClinicTimeZone::UTC);
            (end - TimeDelta::nanoseconds(1)).date_naive()
        });
        let from = from.map_or_else(
            || to.checked_sub_days(DEFAULT_DAYS_BEFORE).unwrap_or(to),
            |from| from.first(ClinicTimeZone::UTC).date_naive(),
        );
        errors
            .field("from", Self::between(from, to))
            .ok_or_else(|| errors.into_problem())
    }

    fn between(from: NaiveDate, to: NaiveDate) -> Result<Self, InvalidPeriod> {
        match (to - from).num_days() {
            ..0 => Err(InvalidPeriod::Order),
            0..MAX_DAYS => Ok(Self { from, to }),
            MAX_DAYS.. => Err(InvalidPeriod::Length),
        }
    }

    /// The first day.
    #[must_use]
    pub const fn from(self) -> NaiveDate {
        self.from
    }

    /// The last day.
    #[must_use]
    pub const fn to(self) -> NaiveDate {
        self.to
    }

    /// Every day.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        self.from.iter_days().take_while(move |day| *day <= self.to)
    }

    /// The first day of every month that the period touches.
    pub fn months(self) -> impl Iterator<Item = NaiveDate> {
        let next = |month: &NaiveDate| month.checked_add_months(Months::new(1));
        std::iter::successors(self.from.with_day(1), next).take_while(move |day| *day <= self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        api::day(text).unwrap()
    }

    fn between(from: &str, to: &str) -> Result<Period, InvalidPeriod> {
        Period::between(date(from), date(to))
    }

    #[test]
    fn the_default_is_thirty_days_until_today() {
        let today = date("2024-03-10");
        let period = Period::parse(None, None, today).unwrap();
        assert_eq!(period, between("2024-02-10", "2024-03-10").unwrap());
        assert_eq!(period.days().count(), 30);

        let until = Period::parse(None, Some("2024-01-30"), today).unwrap();
        assert_eq!(until, between("2024-01-01", "2024-01-30").unwrap());
        let since = Period::parse(Some("2024-03-09"), None, today).unwrap();
        assert_eq!(since, between("2024-03-09", "2024-03-10").unwrap());

        // A time stands for its day in UTC; as the end of a period, it is exclusive.
        let times = Period::parse(
            Some("2024-03-09T01:00:00+02:00"),
            Some("2024-03-10T00:00:00Z"),
            today,
        );
        assert_eq!(times.unwrap(), between("2024-03-08", "2024-03-09").unwrap());
    }

    #[test]
    fn a_period_has_at_most_366_days() {
        assert!(between("2024-01-01", "2024-12-31").is_ok());
        assert_eq!(
            between("2024-01-01", "2025-01-01"),
            Err(InvalidPeriod::Length)
        );
        assert_eq!(
            between("2024-01-02", "2024-01-01"),
            Err(InvalidPeriod::Order)
        );
        assert!(between("2024-01-01", "2024-01-01").is_ok());
    }

    #[test]
    fn every_month_of_the_period_is_read_once() {
        let months = |from, to| -> Vec<String> {
            let months = between(from, to).unwrap().months();
            months.map(|month| month.to_string()).collect()
        };
        assert_eq!(months("2024-01-31", "2024-01-31"), ["2024-01-01"]);
        assert_eq!(
            months("2023-12-31", "2024-02-01"),
            ["2023-12-01", "2024-01-01", "2024-02-01"]
        );
        assert_eq!(months("2023-05-31", "2024-05-30").len(), 13);
    }

    #[test]
    fn the_ends_of_the_calendar_are_accepted() {
        let today = date("2024-03-10");
        for (from, to) in [
            (None, Some("0001-01-01")),
            (Some("9999-01-01"), Some("9999-12-31")),
        ] {
            let period = Period::parse(from, to, today).unwrap();
            assert!(period.days().count() >= 30);
            assert!(period.months().count() >= 2);
        }
    }
}

//! The days that a client asks for, in the clinic's time zone.

use api::{ClinicTimeZone, DayOrTime, InputErrors, Problem};
use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, TimeDelta, Utc};

/// The largest number of days in one request: a whole leap year.
const MAX_DAYS: i64 = 366;

/// How many days before `to` the period begins if `from` is not given: 30 days in all.
const DEFAULT_DAYS_BEFORE: Days = Days::new(29);

/// The last day with a year of four digits: the keys of the table are in the order of time until
/// then.
const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

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
    /// The days from `from` to `to`, each a day or a time, which stands for its day in the clinic's
    /// time zone. By default, the 30 days until today.
    ///
    /// # Errors
    /// 400 that names the invalid ones, with the reasons.
    pub fn parse(
        from: Option<&str>,
        to: Option<&str>,
        clinic: ClinicTimeZone,
        now: DateTime<Utc>,
    ) -> Result<Self, Problem> {
        let mut errors = InputErrors::default();
        let to = errors.field("to", to.map(DayOrTime::parse).transpose());
        let from = errors.field("from", from.map(DayOrTime::parse).transpose());
        let (Some(from), Some(to)) = (from, to) else {
            return Err(errors.into_problem());
        };
        let to = match to {
            None => clinic.day(now),
            Some(DayOrTime::Day(day)) => day,
            Some(DayOrTime::Time(end)) => clinic.day(end - TimeDelta::nanoseconds(1)),
        };
        let to = to.min(LAST_DAY);
        let from = match from {
            None => to.checked_sub_days(DEFAULT_DAYS_BEFORE).unwrap_or(to),
            Some(DayOrTime::Day(day)) => day,
            Some(DayOrTime::Time(start)) => clinic.day(start),
        };
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

    /// The days from the first of the month in which it begins.
    pub(crate) fn since_the_first_of_its_month(self) -> Self {
        Self {
            from: self.from.with_day(1).unwrap_or(self.from),
            ..self
        }
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

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn between(from: &str, to: &str) -> Result<Period, InvalidPeriod> {
        Period::between(date(from), date(to))
    }

    #[test]
    fn the_default_is_thirty_days_until_today() {
        let parse =
            |from, to| Period::parse(from, to, ClinicTimeZone::UTC, at("2024-03-10T12:00:00Z"));
        let period = parse(None, None).unwrap();
        assert_eq!(period, between("2024-02-10", "2024-03-10").unwrap());
        assert_eq!(period.days().count(), 30);

        let until = parse(None, Some("2024-01-30")).unwrap();
        assert_eq!(until, between("2024-01-01", "2024-01-30").unwrap());
        let since = parse(Some("2024-03-09"), None).unwrap();
        assert_eq!(since, between("2024-03-09", "2024-03-10").unwrap());

        // As the end of a period, a time is exclusive.
        let times = parse(
            Some("2024-03-09T01:00:00+02:00"),
            Some("2024-03-10T00:00:00Z"),
        );
        assert_eq!(times.unwrap(), between("2024-03-08", "2024-03-09").unwrap());
    }

    #[test]
    fn a_time_stands_for_its_day_at_the_clinic() {
        let now = at("2026-03-28T23:30:00Z");
        for (zone, today, day) in [
            ("Europe/Berlin", "2026-03-29", "2026-03-29"),
            ("America/New_York", "2026-03-28", "2026-03-28"),
        ] {
            let clinic = ClinicTimeZone::parse(zone).unwrap();
            let until_today = Period::parse(None, None, clinic, now).unwrap();
            assert_eq!(until_today.to(), date(today), "{zone}");
            let times = ("2026-03-28T23:00:00Z", "2026-03-28T23:00:01Z");
            let period = Period::parse(Some(times.0), Some(times.1), clinic, now).unwrap();
            assert_eq!(period, between(day, day).unwrap(), "{zone}");
            let days = Period::parse(Some("2026-03-28"), Some("2026-03-28"), clinic, now).unwrap();
            assert_eq!(days, between("2026-03-28", "2026-03-28").unwrap(), "{zone}");
        }
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
        for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Midway"] {
            let clinic = ClinicTimeZone::parse(zone).unwrap();
            for (from, to) in [
                (None, Some("0001-01-01")),
                (Some("9999-01-01"), Some("9999-12-31")),
                (Some("9999-01-02"), Some("9999-12-31T23:59:59Z")),
            ] {
                let period = Period::parse(from, to, clinic, Utc::now()).unwrap();
                assert!(period.days().count() >= 30);
                assert!(period.months().count() >= 2);
                assert!(period.to() <= LAST_DAY);
            }
        }
    }
}

//! Days and times in requests: one format each, in years that a clinic can mean.

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type, schema::AnyOfBuilder,
    },
};
use zones::Zone;

/// The years with four digits. The database accepts others, not all of which the code can
/// represent.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9999;

/// The easternmost time zone is this far ahead of UTC (Line Islands, Pacific/Kiritimati).
const EASTERNMOST: TimeDelta = TimeDelta::hours(14);

/// Not a date in the format of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be a date in the form YYYY-MM-DD")]
pub struct InvalidDay;

/// Not a time in the format of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// The format or the year is invalid.
    #[error("Must be a date such as 2026-05-31, or a time such as 2026-05-31T09:30:00Z")]
    Form,
    /// In a query, a plus means a space.
    #[error("The + of a time zone must be sent as %2B in a query")]
    SpaceForPlus,
}

/// A day, `YYYY-MM-DD` (RFC 3339, `full-date`).
///
/// # Errors
/// If it has any other format, or there is no such day.
pub fn day(text: &str) -> Result<NaiveDate, InvalidDay> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    // chrono also accepts signs, spaces and single digits.
    day.filter(|day| YEARS.contains(&day.year()) && day.format("%Y-%m-%d").to_string() == text)
        .ok_or(InvalidDay)
}

/// A time (RFC 3339, `date-time`), in upper case.
fn time(text: &str) -> Result<DateTime<Utc>, InvalidTime> {
    let (date, rest) = text.split_once('T').ok_or(InvalidTime::Form)?;
    day(date).map_err(|_| InvalidTime::Form)?;
    if let Some((before, offset)) = rest.rsplit_once(' ')
        && time(&format!("{date}T{before}+{offset}")).is_ok()
    {
        return Err(InvalidTime::SpaceForPlus);
    }
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ':' | '.' | '+' | '-' | 'Z');
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.filter(|_| rest.chars().all(plain));
    let time = time.map(|time| time.with_timezone(&Utc));
    time.filter(|time| YEARS.contains(&time.year()))
        .ok_or(InvalidTime::Form)
}

/// A time in a cursor, which a client may have made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Time(pub DateTime<Utc>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        time(&text).map(Self).map_err(D::Error::custom)
    }
}

/// The start or end of a period: `from` and `to` in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayOrTime {
    /// A whole day, which belongs to the period whether it is the start or the end.
    Day(NaiveDate),
    /// A moment. A period that starts with it includes it; a period that ends with it does not.
    Time(DateTime<Utc>),
}

impl DayOrTime {
    /// Reads `YYYY-MM-DD` or an RFC 3339 time.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        match day(text) {
            Ok(day) => Ok(Self::Day(day)),
            Err(InvalidDay) => time(text).map(Self::Time),
        }
    }

    /// The first moment of a period that starts here.
    #[must_use]
    pub fn first(self, zone: ClinicTimeZone) -> DateTime<Utc> {
        match self {
            Self::Day(day) => zone.begin(day),
            Self::Time(time) => time,
        }
    }

    /// The first moment after a period that ends here.
    #[must_use]
    pub fn end(self, zone: ClinicTimeZone) -> DateTime<Utc> {
        match self {
            Self::Day(day) => zone.begin(day + Days::new(1)),
            Self::Time(time) => time,
        }
    }
}

impl<'de> Deserialize<'de> for DayOrTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// How it appears in the API document.
impl PartialSchema for DayOrTime {
    fn schema() -> RefOr<Schema> {
        let text = |format| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(format)))
        };
        AnyOfBuilder::new()
            .item(text(KnownFormat::Date))
            .item(text(KnownFormat::DateTime))
            .into()
    }
}

impl ToSchema for DayOrTime {}

/// The clinic's time zone. UTC by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClinicTimeZone(&'static Zone);

static UTC: Zone = Zone::utc();

/// There is no time zone of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CLINIC_TIME_ZONE: {0} is not a time zone of the IANA database, such as Europe/Berlin")]
pub struct UnknownTimeZone(String);

impl ClinicTimeZone {
    /// Universal time.
    pub const UTC: Self = Self(&UTC);

    /// Reads `CLINIC_TIME_ZONE`; UTC if it is not set.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn from_env() -> Result<Self, UnknownTimeZone> {
        let name = std::env::var("CLINIC_TIME_ZONE").unwrap_or_default();
        if name.is_empty() {
            return Ok(Self::UTC);
        }
        Self::parse(&name)
    }

    /// Reads a name from the IANA database, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// If there is no such zone.
    pub fn parse(name: &str) -> Result<Self, UnknownTimeZone> {
        let zone = Zone::named(name).map_err(|_| UnknownTimeZone(name.to_owned()))?;
        // Read once, when the function starts, and needed until it ends.
        Ok(Self(Box::leak(Box::new(zone))))
    }

    /// The current day in this zone.
    #[must_use]
    pub fn day(self, now: DateTime<Utc>) -> NaiveDate {
        self.0.date(now)
    }

    /// What the clocks show in this zone.
    #[must_use]
    pub fn local(self, now: DateTime<Utc>) -> DateTime<FixedOffset> {
        self.0.local(now)
    }

    /// The first moment of a day: an hour after midnight if the clocks are put forward at midnight.
    fn begin(self, day: NaiveDate) -> DateTime<Utc> {
        self.0.start_of(day)
    }
}

/// The latest day that it currently is anywhere on earth.
#[must_use]
pub fn latest_day(now: DateTime<Utc>) -> NaiveDate {
    (now + EASTERNMOST).date_naive()
}

/// The zone that is configured.
impl<S: Sync> FromRequestParts<S> for ClinicTimeZone {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::UTC))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_exactly_one_spelling() {
        assert!(day("2024-02-29").is_ok());
        for text in [
            "",
            "2023-02-29",
            "2024-2-09",
            "+2024-02-9",
            "  2024-2-9",
            "2024-02-09 ",
            "20240209",
            "12024-02-09",
            "0000-01-01",
            "-024-02-09",
            "2024-02-09T00:00:00Z",
            "２０２４-02-09",
        ] {
            assert_eq!(day(text), Err(InvalidDay), "{text}");
        }
    }

    #[test]
    fn a_time_has_exactly_one_format() {
        let utc = time("2026-05-31T09:30:00.25Z").unwrap();
        assert_eq!(time("2026-05-31T11:30:00.25+02:00"), Ok(utc));
        assert_eq!(
            DayOrTime::parse("2026-05-31T09:30:00.25Z"),
            Ok(DayOrTime::Time(utc))
        );
        for text in [
            "2026-05-31t09:30:00z",
            "2026-05-31 09:30:00Z",
            "2026-05-31T09:30:00",
            "2026-05-31T09:30Z",
            "2026-05-31T24:00:00Z",
            "2026-05-31T09:30:00 Z",
            "-4714-01-01T00:00:00Z",
            "+262000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-00:01",
            "1780219800",
            "2026-W22-7",
        ] {
            assert_eq!(DayOrTime::parse(text), Err(InvalidTime::Form), "{text}");
        }
        let lost = DayOrTime::parse("2026-05-31T09:30:00 02:00");
        assert_eq!(lost, Err(InvalidTime::SpaceForPlus));
    }

    #[test]
    fn days_are_those_of_the_clinics_time_zone() {
        let zone = |name: &str| ClinicTimeZone::parse(name).unwrap();
        let moment = time("2026-03-28T23:30:00Z").unwrap();
        assert_eq!(zone("UTC").day(moment).to_string(), "2026-03-28");
        assert_eq!(zone("Europe/Berlin").day(moment).to_string(), "2026-03-29");
        assert_eq!(
            zone("America/New_York").day(moment).to_string(),
            "2026-03-28"
        );
        assert_eq!(latest_day(moment).to_string(), "2026-03-29");

        // A day of 23 hours, and a day that begins at one o'clock.
        let berlin = DayOrTime::parse("2026-03-29").unwrap();
        let length = berlin.end(zone("Europe/Berlin")) - berlin.first(zone("Europe/Berlin"));
        assert_eq!(length, TimeDelta::hours(23));
        let santiago = DayOrTime::parse("2026-09-06")
            .unwrap()
            .first(zone("America/Santiago"));
        assert_eq!(santiago, time("2026-09-06T04:00:00Z").unwrap());
        assert!(ClinicTimeZone::parse("Europe/Atlantis").is_err());
    }
}

//! When an appointment is to start, as clients say it.

use api::{Problem, ProblemType};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};
use zones::{Instants, Zone};

/// When an appointment is to start: an instant (RFC 3339), or what the clocks of the location show
/// then, without an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// An instant.
    Instant(DateTime<FixedOffset>),
    /// A wall time.
    Wall(NaiveDateTime),
}

/// Neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be a time such as 2026-05-31T09:30:00Z, to the minute")]
pub(crate) struct InvalidStart;

impl Start {
    fn parse(text: &str) -> Result<Self, InvalidStart> {
        let in_minutes = |time: NaiveDateTime| {
            use chrono::Timelike as _;
            time.second() == 0 && time.nanosecond() == 0
        };
        if let Ok(api::DayOrTime::Time(_)) = api::DayOrTime::parse(text) {
            let instant = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidStart)?;
            return Some(Self::Instant(instant))
                .filter(|_| in_minutes(instant.naive_utc()))
                .ok_or(InvalidStart);
        }
        // As above, without an offset.
        let utc = format!("{text}Z");
        let Ok(api::DayOrTime::Time(time)) = api::DayOrTime::parse(&utc) else {
            return Err(InvalidStart);
        };
        Some(Self::Wall(time.naive_utc()))
            .filter(|_| in_minutes(time.naive_utc()))
            .ok_or(InvalidStart)
    }

    /// A day that it is on, or next to, wherever the location is.
    pub(crate) const fn some_day(self) -> NaiveDate {
        match self {
            Self::Instant(instant) => instant.naive_utc().date(),
            Self::Wall(wall) => wall.date(),
        }
    }

    /// The instant, at a location in this zone.
    ///
    /// # Errors
    /// 422 if the clocks there skip this time, or show it twice.
    pub(crate) fn instant(self, zone: &Zone) -> Result<DateTime<Utc>, Problem> {
        match self {
            Self::Instant(instant) => {
                // Somebody means the wall time of a place with this offset. If it is the
                // location's, and its clocks skip the time, they mean a time that does not exist.
                let is_utc = instant.offset().local_minus_utc() == 0;
                let wall = instant.naive_local();
                if !is_utc
                    && let Instants::Never(change) = zone.instants(wall)
                    && zone.local(change - chrono::TimeDelta::seconds(1)).offset()
                        == instant.offset()
                {
                    return Err(nonexistent(wall, zone));
                }
                Ok(instant.to_utc())
            }
            Self::Wall(wall) => match zone.instants(wall) {
                Instants::Once(instant) => Ok(instant),
                Instants::Twice(first, second) => Err(Problem::new(
                    ProblemType::AmbiguousLocalTime,
                    format!(
                        "The clocks show {wall} twice in {}: at {} and at {}",
                        zone.name(),
                        zone.local(first).to_rfc3339(),
                        zone.local(second).to_rfc3339(),
                    ),
                )),
                Instants::Never(_) => Err(nonexistent(wall, zone)),
            },
        }
    }
}

/// The 422 for a wall time that the clocks skip.
pub(crate) fn nonexistent(wall: NaiveDateTime, zone: &Zone) -> Problem {
    Problem::new(
        ProblemType::NonexistentLocalTime,
        format!(
            "There is no {} in {}: the clocks are put forward past it",
            wall.format("%Y-%m-%dT%H:%M"),
            zone.name()
        ),
    )
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// How it appears in the API document.
impl PartialSchema for Start {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some(
                "When it starts, to the minute. Without an offset, it is a time on the clock of the location.",
            ))
            .into()
    }
}

impl ToSchema for Start {}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(zone: &str, text: &str) -> Result<String, &'static str> {
        let zone = Zone::named(zone).unwrap();
        let start = Start::parse(text).unwrap();
        let instant = start
            .instant(&zone)
            .map_err(|problem| problem.kind().name());
        instant.map(|instant| instant.format("%dT%H:%MZ").to_string())
    }

    #[test]
    fn a_start_is_an_instant_or_a_wall_time() {
        let (new_york, london) = ("America/New_York", "Europe/London");
        for (zone, text, expected) in [
            (new_york, "2027-03-14T07:30:00Z", Ok("14T07:30Z")),
            (new_york, "2027-03-14T03:30:00-04:00", Ok("14T07:30Z")),
            (
                new_york,
                "2027-03-14T02:30:00",
                Err("nonexistent-local-time"),
            ),
            (
                new_york,
                "2027-03-14T02:30:00-05:00",
                Err("nonexistent-local-time"),
            ),
            (new_york, "2026-11-01T01:30:00", Err("ambiguous-local-time")),
            (new_york, "2026-11-01T01:30:00-04:00", Ok("01T05:30Z")),
            (new_york, "2026-11-01T01:30:00-05:00", Ok("01T06:30Z")),
            (london, "2027-06-01T09:00:00", Ok("01T08:00Z")),
            (london, "2027-06-01T10:00:00+02:00", Ok("01T08:00Z")),
            // A browser in Berlin means half past midnight in London.
            (london, "2027-03-28T01:30:00+01:00", Ok("28T00:30Z")),
        ] {
            assert_eq!(
                instant(zone, text),
                expected.map(ToOwned::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn a_start_has_no_seconds() {
        for text in [
            "",
            "2026-05-31",
            "2026-05-31T09:30:01Z",
            "2026-05-31T09:30:00.5Z",
            "2026-05-31T09:30:01",
            "2026-05-31 09:30:00",
            "9",
        ] {
            assert_eq!(Start::parse(text), Err(InvalidStart), "{text}");
        }
    }
}

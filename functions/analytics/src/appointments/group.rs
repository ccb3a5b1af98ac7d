//! How the appointments of a period are divided.

use std::fmt;

use chrono::{Datelike as _, NaiveDate};
use serde::{Deserialize, Serialize};
use strum::VariantArray as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cell::{Cell, Division};
use crate::period::Period;

/// The hours of a day.
const HOURS: std::ops::Range<u32> = 0..24;

/// What each group is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AppointmentGroupBy)]
pub(crate) enum GroupBy {
    /// A day.
    #[default]
    Day,
    /// A service.
    Service,
    /// A clinician, or a resource of an appointment without a clinician.
    Provider,
    /// A day of the week.
    Weekday,
    /// An hour on the clock.
    Hour,
    /// An hour of a day of the week.
    WeekdayHour,
}

/// A day of the week, in the order of ISO 8601.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "UPPERCASE")]
pub(crate) enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<NaiveDate> for Weekday {
    fn from(day: NaiveDate) -> Self {
        match day.weekday() {
            chrono::Weekday::Mon => Self::Monday,
            chrono::Weekday::Tue => Self::Tuesday,
            chrono::Weekday::Wed => Self::Wednesday,
            chrono::Weekday::Thu => Self::Thursday,
            chrono::Weekday::Fri => Self::Friday,
            chrono::Weekday::Sat => Self::Saturday,
            chrono::Weekday::Sun => Self::Sunday,
        }
    }
}

/// The name of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A day.
    Day(NaiveDate),
    /// A service or a provider.
    Id(Uuid),
    /// A day of the week.
    Weekday(Weekday),
    /// An hour.
    Hour(u32),
    /// An hour of a day of the week.
    WeekdayHour(Weekday, u32),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Id(id) => id.fmt(f),
            Self::Weekday(weekday) => weekday.fmt(f),
            Self::Hour(hour) => write!(f, "{hour:02}"),
            Self::WeekdayHour(weekday, hour) => write!(f, "{weekday}-{hour:02}"),
        }
    }
}

impl GroupBy {
    /// Which cells say it.
    pub(crate) const fn division(self) -> Division {
        match self {
            Self::Day | Self::Weekday | Self::Hour | Self::WeekdayHour => Division::Hours,
            Self::Service | Self::Provider => Division::Teams,
        }
    }

    /// The groups that there are whether or not they have appointments, so that a chart has no gaps.
    pub(crate) fn all_keys(self, period: Period) -> Box<dyn Iterator<Item = Key>> {
        let weekdays = Weekday::VARIANTS.iter().copied();
        match self {
            Self::Day => Box::new(period.days().map(Key::Day)),
            Self::Weekday => Box::new(weekdays.map(Key::Weekday)),
            Self::Hour => Box::new(HOURS.map(Key::Hour)),
            Self::WeekdayHour => Box::new(
                weekdays.flat_map(|weekday| HOURS.map(move |hour| Key::WeekdayHour(weekday, hour))),
            ),
            Self::Service | Self::Provider => Box::new(std::iter::empty()),
        }
    }

    /// The groups that a cell belongs to: several if it has several providers.
    pub(crate) fn keys(self, cell: &Cell) -> Vec<Key> {
        match (self, cell) {
            (Self::Provider, Cell::Team { team, .. }) => {
                team.members().iter().copied().map(Key::Id).collect()
            }
            (Self::Service, Cell::Team { service, .. }) => vec![Key::Id(*service)],
            (Self::Day, Cell::Hour { day, .. }) => vec![Key::Day(*day)],
            (Self::Weekday, Cell::Hour { day, .. }) => vec![Key::Weekday((*day).into())],
            (Self::Hour, Cell::Hour { hour, .. }) => vec![Key::Hour(*hour)],
            (Self::WeekdayHour, Cell::Hour { day, hour }) => {
                vec![Key::WeekdayHour((*day).into(), *hour)]
            }
            // These are not read.
            (Self::Provider | Self::Service, Cell::Hour { .. }) | (_, Cell::Team { .. }) => {
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_clients_name_them() {
        let day = "2026-03-29".parse().unwrap();
        let hour = Cell::Hour { day, hour: 9 };
        for (group_by, key) in [
            (GroupBy::Day, "2026-03-29"),
            (GroupBy::Weekday, "SUNDAY"),
            (GroupBy::Hour, "09"),
            (GroupBy::WeekdayHour, "SUNDAY-09"),
        ] {
            let keys = group_by.keys(&hour);
            let names: Vec<String> = keys.iter().map(Key::to_string).collect();
            assert_eq!(names, [key]);
        }
    }

    #[test]
    fn a_chart_has_no_gaps() {
        let zone = api::ClinicTimeZone::UTC;
        let (from, to) = (Some("2026-03-28"), Some("2026-04-01"));
        let period = Period::parse(from, to, zone, chrono::Utc::now()).unwrap();
        for (group_by, first, last, number) in [
            (GroupBy::Day, "2026-03-28", "2026-04-01", 5),
            (GroupBy::Weekday, "MONDAY", "SUNDAY", 7),
            (GroupBy::Hour, "00", "23", 24),
            (GroupBy::WeekdayHour, "MONDAY-00", "SUNDAY-23", 168),
        ] {
            let mut keys: Vec<Key> = group_by.all_keys(period).collect();
            keys.sort_unstable();
            assert_eq!(keys.len(), number);
            assert_eq!(
                (&*keys[0].to_string(), &*keys[number - 1].to_string()),
                (first, last)
            );
        }
    }
}

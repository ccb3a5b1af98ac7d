//! When a patient does not want to be woken by a text message.

use chrono::{DateTime, Days, NaiveTime, Timelike as _, Utc};
use zones::Zone;

/// A part of every day; it may span midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: NaiveTime,
    to: NaiveTime,
}

/// Not a part of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuietHours {
    /// Not a time of day.
    #[error("Must be a time of day in hours and minutes, such as 21:00")]
    NotATime,
    /// They would be nothing, or the whole day.
    #[error("Quiet hours must begin and end at different times")]
    Empty,
}

impl QuietHours {
    /// From one time of day to another: on the next day, if that is earlier.
    ///
    /// # Errors
    /// If both are the same.
    pub fn new(from: NaiveTime, to: NaiveTime) -> Result<Self, InvalidQuietHours> {
        if from == to {
            return Err(InvalidQuietHours::Empty);
        }
        Ok(Self { from, to })
    }

    /// Reads a time of day as clients write it: `21:00`.
    ///
    /// # Errors
    /// If it is written in any other way.
    pub fn time(text: &str) -> Result<NaiveTime, InvalidQuietHours> {
        NaiveTime::parse_from_str(text, "%H:%M")
            .ok()
            .filter(|time| written(*time) == text)
            .ok_or(InvalidQuietHours::NotATime)
    }

    /// When they begin.
    #[must_use]
    pub const fn from(&self) -> NaiveTime {
        self.from
    }

    /// When they end.
    #[must_use]
    pub const fn to(&self) -> NaiveTime {
        self.to
    }

    /// When they end, if it is in them.
    #[must_use]
    pub fn end(&self, now: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let local = zone.local(now).naive_local();
        let time = local.time();
        let spans_midnight = self.to < self.from;
        let is_quiet = if spans_midnight {
            time >= self.from || time < self.to
        } else {
            (self.from..self.to).contains(&time)
        };
        if !is_quiet {
            return None;
        }
        let date = if spans_midnight && time >= self.from {
            local.date().checked_add_days(Days::new(1))?
        } else {
            local.date()
        };
        // Where the clocks are put back during them, the first of two ends may be over.
        let ends = zone.instants(date.and_time(self.to));
        Some(if ends.first() > now {
            ends.first()
        } else {
            ends.last()
        })
    }
}

/// A time of day as clients write it.
#[must_use]
pub fn written(time: NaiveTime) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(from: &str, to: &str) -> QuietHours {
        let time = |text| QuietHours::time(text).unwrap();
        QuietHours::new(time(from), time(to)).unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        let wall = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M");
        wall.unwrap().and_utc()
    }

    #[test]
    fn they_end_on_the_next_morning() {
        let london = Zone::named("Europe/London").unwrap();
        let night = hours("21:00", "08:00");
        for (now, end) in [
            ("2026-06-01 19:59", None),
            ("2026-06-01 20:00", Some("2026-06-02 07:00")),
            ("2026-06-01 23:30", Some("2026-06-02 07:00")),
            ("2026-06-02 06:59", Some("2026-06-02 07:00")),
            ("2026-06-02 07:00", None),
            // The clocks are put forward in this night, and back in the other.
            ("2026-03-28 22:00", Some("2026-03-29 07:00")),
            ("2026-10-24 22:00", Some("2026-10-25 08:00")),
        ] {
            assert_eq!(night.end(utc(now), &london), end.map(utc), "{now}");
        }
    }

    #[test]
    fn they_may_be_within_a_day() {
        let noon = hours("12:00", "14:00");
        let utc_zone = Zone::utc();
        assert_eq!(noon.end(utc("2026-06-01 11:59"), &utc_zone), None);
        let end = Some(utc("2026-06-01 14:00"));
        assert_eq!(noon.end(utc("2026-06-01 12:00"), &utc_zone), end);
        assert_eq!(noon.end(utc("2026-06-01 14:00"), &utc_zone), None);
    }

    #[test]
    fn an_end_that_comes_twice_is_never_in_the_past() {
        let london = Zone::named("Europe/London").unwrap();
        let night = hours("21:00", "01:30");
        // 01:10 for the second time.
        let now = utc("2026-10-25 01:10");
        assert_eq!(night.end(now, &london), Some(utc("2026-10-25 01:30")));
    }

    #[test]
    fn a_time_is_hours_and_minutes() {
        assert!(QuietHours::time("00:00").is_ok());
        for text in [
            "", "24:00", "9:00", "09:00:00", "09:60", "+9:00", "0900", "09:00 ",
        ] {
            assert_eq!(
                QuietHours::time(text),
                Err(InvalidQuietHours::NotATime),
                "{text}"
            );
        }
        let same = NaiveTime::MIN;
        assert_eq!(QuietHours::new(same, same), Err(InvalidQuietHours::Empty));
    }
}

//! Opening hours as people write them: from one time on the clock to another.

use serde::{Deserialize, Serialize};
use sqlx::postgres::types::PgRange;
use std::ops::Bound;
use utoipa::ToSchema;

/// Minutes in a day on the clock.
pub(crate) const DAY: i32 = 24 * 60;

/// At most this many windows in a day: enough for anybody's breaks.
const MOST_IN_A_DAY: usize = 10;

/// From a time on the clock to another on the same day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "from": "09:00", "to": "12:30" }))]
pub(crate) struct Window {
    /// When it opens, `HH:MM`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub(crate) from: String,
    /// When it closes, `HH:MM`; `24:00` is the end of the day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
    pub(crate) to: String,
}

/// From a time on the clock to another, on one day of every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "weekday": "MONDAY", "from": "09:00", "to": "17:00" }))]
pub(crate) struct WeeklyWindow {
    /// The day.
    pub(crate) weekday: Weekday,
    /// When it opens, `HH:MM`.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    pub(crate) from: String,
    /// When it closes, `HH:MM`; `24:00` is the end of the day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
    pub(crate) to: String,
}

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::VariantArray,
)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Weekday {
    /// The first day of the week (ISO 8601).
    Monday,
    /// The second.
    Tuesday,
    /// The third.
    Wednesday,
    /// The fourth.
    Thursday,
    /// The fifth.
    Friday,
    /// The sixth.
    Saturday,
    /// The seventh.
    Sunday,
}

impl Weekday {
    /// Midnight at its beginning, in minutes since Monday's.
    const fn midnight(self) -> i32 {
        self as i32 * DAY
    }
}

/// What is wrong with opening hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidHours {
    #[error("Times must be HH:MM, from 00:00 to 24:00")]
    Clock,
    #[error("A window must close after it opens, on the same day: split it at 24:00")]
    Backwards,
    #[error("Windows must not overlap")]
    Overlap,
    #[error("A day can have {MOST_IN_A_DAY} windows at most")]
    TooMany,
}

/// A time on the clock, in minutes since midnight.
fn minutes(text: &str) -> Result<i32, InvalidHours> {
    let (hour, minute) = text.split_once(':').ok_or(InvalidHours::Clock)?;
    let number = |text: &str, most: i32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<i32> = text.parse().ok().filter(|_| digits);
        number
            .filter(|number| *number <= most)
            .ok_or(InvalidHours::Clock)
    };
    let time = number(hour, 24)? * 60 + number(minute, 59)?;
    if time > DAY {
        return Err(InvalidHours::Clock);
    }
    Ok(time)
}

fn clock(minutes: i32) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Windows in order, in minutes since a midnight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Windows(Vec<(i32, i32)>);

impl Windows {
    /// The windows of one day.
    pub(crate) fn of_a_day(windows: &[Window]) -> Result<Self, InvalidHours> {
        if windows.len() > MOST_IN_A_DAY {
            return Err(InvalidHours::TooMany);
        }
        let windows = windows
            .iter()
            .map(|window| span(0, &window.from, &window.to));
        Self::in_order(windows.collect::<Result<_, _>>()?)
    }

    /// The windows of a week.
    pub(crate) fn of_a_week(windows: &[WeeklyWindow]) -> Result<Self, InvalidHours> {
        use strum::VariantArray as _;
        let on = |day| {
            windows
                .iter()
                .filter(move |window| window.weekday == day)
                .count()
        };
        if Weekday::VARIANTS.iter().any(|&day| on(day) > MOST_IN_A_DAY) {
            return Err(InvalidHours::TooMany);
        }
        let windows = windows
            .iter()
            .map(|window| span(window.weekday.midnight(), &window.from, &window.to));
        Self::in_order(windows.collect::<Result<_, _>>()?)
    }

    fn in_order(mut windows: Vec<(i32, i32)>) -> Result<Self, InvalidHours> {
        windows.sort_unstable();
        if windows.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(InvalidHours::Overlap);
        }
        Ok(Self(windows))
    }

    /// As they are stored.
    pub(crate) fn ranges(&self) -> Vec<PgRange<i32>> {
        self.0
            .iter()
            .map(|&(from, to)| PgRange::from(from..to))
            .collect()
    }

    /// What is stored.
    pub(crate) fn stored(ranges: &[PgRange<i32>]) -> Self {
        let bound = |bound| match bound {
            Bound::Included(minute) | Bound::Excluded(minute) => minute,
            Bound::Unbounded => 0,
        };
        Self(
            ranges
                .iter()
                .map(|range| (bound(range.start), bound(range.end)))
                .collect(),
        )
    }

    /// The windows on this day of the week, in minutes since its midnight.
    pub(crate) fn on(&self, weekday: chrono::Weekday) -> impl Iterator<Item = (i32, i32)> {
        let midnight = weekday.num_days_from_monday().cast_signed() * DAY;
        self.0
            .iter()
            .filter(move |(from, _)| (midnight..midnight + DAY).contains(from))
            .map(move |(from, to)| (from - midnight, to - midnight))
    }

    /// All windows, in minutes since midnight.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i32, i32)> {
        self.0.iter().copied()
    }

    /// As people write them.
    pub(crate) fn written(&self) -> Vec<Window> {
        let windows = self.0.iter().map(|&(from, to)| Window {
            from: clock(from),
            to: clock(to),
        });
        windows.collect()
    }

    /// As people write them, by day of the week.
    pub(crate) fn written_by_weekday(&self) -> Vec<WeeklyWindow> {
        use strum::VariantArray as _;
        let windows = self.0.iter().filter_map(|&(from, to)| {
            let weekday = *Weekday::VARIANTS.get(usize::try_from(from / DAY).ok()?)?;
            Some(WeeklyWindow {
                weekday,
                from: clock(from - weekday.midnight()),
                to: clock(to - weekday.midnight()),
            })
        });
        windows.collect()
    }
}

fn span(midnight: i32, from: &str, to: &str) -> Result<(i32, i32), InvalidHours> {
    let (from, to) = (minutes(from)?, minutes(to)?);
    if from >= to {
        return Err(InvalidHours::Backwards);
    }
    Ok((midnight + from, midnight + to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: &str, to: &str) -> Window {
        Window {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    #[test]
    fn a_time_has_exactly_one_spelling() {
        assert_eq!(minutes("00:00"), Ok(0));
        assert_eq!(minutes("24:00"), Ok(DAY));
        for text in [
            "",
            "9:00",
            "09:0",
            "09:60",
            "24:01",
            "25:00",
            "+9:00",
            "09:00:00",
            "०९:००",
        ] {
            assert_eq!(minutes(text), Err(InvalidHours::Clock), "{text}");
        }
    }

    #[test]
    fn windows_are_put_in_order_and_may_touch() {
        let windows =
            Windows::of_a_day(&[window("13:00", "24:00"), window("09:00", "13:00")]).unwrap();
        assert_eq!(
            windows.written(),
            [window("09:00", "13:00"), window("13:00", "24:00")]
        );
        assert_eq!(Windows::stored(&windows.ranges()), windows);
    }

    #[test]
    fn windows_that_overlap_or_end_before_they_start_are_rejected() {
        let overlap = [window("09:00", "13:00"), window("12:59", "14:00")];
        assert_eq!(Windows::of_a_day(&overlap), Err(InvalidHours::Overlap));
        for (from, to) in [("09:00", "09:00"), ("22:00", "06:00"), ("24:00", "24:00")] {
            assert_eq!(
                Windows::of_a_day(&[window(from, to)]),
                Err(InvalidHours::Backwards)
            );
        }
        let many = vec![window("09:00", "09:01"); 11];
        assert_eq!(Windows::of_a_day(&many), Err(InvalidHours::TooMany));
    }

    #[test]
    fn a_week_is_read_and_written_day_by_day() {
        let week = [
            WeeklyWindow {
                weekday: Weekday::Monday,
                from: "09:00".to_owned(),
                to: "17:00".to_owned(),
            },
            WeeklyWindow {
                weekday: Weekday::Sunday,
                from: "00:00".to_owned(),
                to: "24:00".to_owned(),
            },
        ];
        let windows = Windows::of_a_week(&week).unwrap();
        assert_eq!(windows.written_by_weekday(), week);
        assert_eq!(
            windows.on(chrono::Weekday::Mon).collect::<Vec<_>>(),
            [(540, 1020)]
        );
        assert_eq!(
            windows.on(chrono::Weekday::Sun).collect::<Vec<_>>(),
            [(0, DAY)]
        );
        assert_eq!(windows.on(chrono::Weekday::Tue).count(), 0);
    }
}

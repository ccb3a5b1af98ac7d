//! From which day until which something holds.

use api::{InputErrors, Problem};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// From which day until which it holds, as a client sends it. Both may be missing.
#[derive(Debug)]
pub(crate) struct Period {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// From which day until which something holds, both included; `None`: without such a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Days {
    pub(crate) from: Option<NaiveDate>,
    pub(crate) to: Option<NaiveDate>,
}

impl Days {
    /// From the first day of the two to the last one.
    pub(crate) fn covering(self, other: Self) -> Self {
        Self {
            from: self.from.zip(other.from).map(|(one, other)| one.min(other)),
            to: self.to.zip(other.to).map(|(one, other)| one.max(other)),
        }
    }

    /// The same days, but none after this one; `None` if none is left.
    pub(crate) fn until(self, last: Option<NaiveDate>) -> Option<Self> {
        let to = match (self.to, last) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let is_left = self.from.zip(to).is_none_or(|(first, last)| first <= last);
        is_left.then_some(Self { to, ..self })
    }
}

impl Period {
    /// The days.
    ///
    /// # Errors
    /// 400 if one of them is no date, or the last is before the first.
    pub(crate) fn parse(self) -> Result<Days, Problem> {
        let mut errors = InputErrors::default();
        let day = |text: Option<String>| text.map(|text| api::day(&text)).transpose();
        let from = errors.field("from", day(self.from));
        let to = errors.field("to", day(self.to));
        let (from, to) = from.zip(to).ok_or_else(|| errors.into_problem())?;
        if let (Some(first), Some(last)) = (from, to)
            && last < first
        {
            return Err(Problem::invalid_field(
                "to",
                "The last day must not be before the first",
            ));
        }
        Ok(Days { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(from: Option<&str>, to: Option<&str>) -> Option<Days> {
        let (from, to) = (from.map(ToOwned::to_owned), to.map(ToOwned::to_owned));
        Period { from, to }.parse().ok()
    }

    #[test]
    fn a_period_may_be_open_on_both_sides_and_does_not_end_before_it_begins() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day);
        assert_eq!(
            parse(None, None),
            Some(Days {
                from: None,
                to: None
            })
        );
        let same = Days {
            from: day(1),
            to: day(1),
        };
        assert_eq!(parse(Some("2026-03-01"), Some("2026-03-01")), Some(same));
        assert_eq!(parse(Some("2026-03-02"), Some("2026-03-01")), None);
        assert_eq!(parse(Some("2026-02-30"), None), None);
    }

    #[test]
    fn what_covers_two_periods_is_open_where_one_of_them_is() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day);
        let days = |from: Option<u32>, to: Option<u32>| Days {
            from: from.and_then(day),
            to: to.and_then(day),
        };
        let (over, current) = (days(Some(3), Some(5)), days(Some(4), None));
        assert_eq!(over.covering(current), days(Some(3), None));
        assert_eq!(over.covering(days(None, Some(9))), days(None, Some(9)));
    }

    #[test]
    fn a_period_that_ends_earlier_may_be_none() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 3, day);
        let period = Days {
            from: day(3),
            to: None,
        };
        let ended = Days {
            from: day(3),
            to: day(5),
        };
        assert_eq!(period.until(day(5)), Some(ended));
        assert_eq!(ended.until(day(9)), Some(ended));
        assert_eq!(ended.until(None), Some(ended));
        assert_eq!(period.until(day(2)), None);
    }
}

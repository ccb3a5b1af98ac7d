//! From which day until which something holds.

use api::{InputErrors, Problem};
use chrono::NaiveDate;

/// From which day until which it holds, as a client sends it. Both may be missing.
#[derive(Debug)]
pub(crate) struct Period {
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// From which day until which something holds, both included; `None`: without such a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days {
    pub(crate) from: Option<NaiveDate>,
    pub(crate) to: Option<NaiveDate>,
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
            return Err(Problem::invalid_field("to", "Must not be before from"));
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
}

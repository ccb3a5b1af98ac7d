//! Periods of time, and sets of them.

use chrono::{DateTime, Utc};

/// From an instant until another, which does not belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period {
    pub(crate) start: DateTime<Utc>,
    pub(crate) end: DateTime<Utc>,
}

impl Period {
    pub(crate) const fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        Self { start, end }
    }

    /// From where the first of these starts to where the last one ends; none for none.
    pub(crate) fn around(periods: &[Self]) -> Option<Self> {
        let start = periods.iter().map(|period| period.start).min()?;
        let end = periods.iter().map(|period| period.end).max()?;
        Some(Self { start, end })
    }

    /// Whether the two have an instant in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether all of the other belongs to it.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// Periods in order, of which no two overlap or touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Periods(Vec<Period>);

impl Periods {
    /// None.
    pub(crate) const EMPTY: Self = Self(Vec::new());

    /// All instants that belong to any of these.
    pub(crate) fn of(mut periods: Vec<Period>) -> Self {
        periods.retain(|period| period.start < period.end);
        periods.sort_unstable();
        let mut merged: Vec<Period> = Vec::with_capacity(periods.len());
        for period in periods {
            match merged.last_mut() {
                Some(last) if period.start <= last.end => last.end = last.end.max(period.end),
                _ => merged.push(period),
            }
        }
        Self(merged)
    }

    /// What is left of them without these.
    pub(crate) fn without(&self, others: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for &period in &self.0 {
            let mut start = period.start;
            for other in others.0.iter().filter(|other| other.overlaps(period)) {
                left.push(Period::new(start, other.start));
                start = other.end;
            }
            left.push(Period::new(start, period.end));
        }
        Self::of(left)
    }

    /// Whether one of them covers this period.
    pub(crate) fn cover(&self, period: Period) -> bool {
        let after = self.0.partition_point(|other| other.start <= period.start);
        after > 0 && self.0[after - 1].covers(period)
    }

    /// The periods.
    #[cfg(test)]
    pub(crate) fn as_slice(&self) -> &[Period] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(start: i64, end: i64) -> Period {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        Period::new(at(start), at(end))
    }

    fn periods(of: &[(i64, i64)]) -> Periods {
        Periods::of(of.iter().map(|&(start, end)| period(start, end)).collect())
    }

    #[test]
    fn periods_that_touch_are_one() {
        assert_eq!(
            periods(&[(3, 4), (1, 2), (2, 3), (6, 6)]),
            periods(&[(1, 4)])
        );
        assert_eq!(periods(&[(1, 5), (2, 3)]).as_slice(), [period(1, 5)]);
    }

    #[test]
    fn an_absence_leaves_the_hours_around_it() {
        let hours = periods(&[(9, 12), (13, 17)]);
        let left = hours.without(&periods(&[(10, 11), (16, 20), (8, 9)]));
        assert_eq!(left, periods(&[(9, 10), (11, 12), (13, 16)]));
        assert_eq!(hours.without(&periods(&[(0, 24)])), Periods::default());
    }

    #[test]
    fn a_period_fits_or_it_does_not() {
        let hours = periods(&[(9, 12), (13, 17)]);
        assert!(hours.cover(period(9, 12)) && hours.cover(period(16, 17)));
        for (start, end) in [(8, 10), (11, 14), (12, 13), (16, 18), (17, 18)] {
            assert!(!hours.cover(period(start, end)), "{start} to {end}");
        }
        assert!(period(1, 2).overlaps(period(1, 3)) && !period(1, 2).overlaps(period(2, 3)));
    }
}

//! Durations and their statistics.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Many durations, each with three significant digits.
#[derive(Debug)]
pub(crate) struct Durations(Histogram<u64>);

/// Durations compared with a reference.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    /// The measured durations.
    pub(crate) ours: Summary,
    /// The reference.
    pub(crate) bare: Summary,
    /// The median as a multiple of the reference's.
    pub(crate) p50_ratio: f64,
    /// The 99th percentile as a multiple of the reference's.
    pub(crate) p99_ratio: f64,
}

/// A summary of many durations, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// The number of durations.
    pub(crate) count: u64,
    /// The shortest.
    pub(crate) min: f64,
    /// The median.
    pub(crate) p50: f64,
    /// The 99th percentile.
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Durations {
    /// An empty set.
    ///
    /// # Errors
    /// Never, for three digits.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// Adds a duration.
    ///
    /// # Errors
    /// If it is longer than five hundred years.
    pub(crate) fn record(&mut self, duration: Duration) -> Result<()> {
        Ok(self.0.record(u64::try_from(duration.as_nanos())?)?)
    }

    /// The summary.
    pub(crate) fn summary(&self) -> Summary {
        let milliseconds = |nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0;
        Summary {
            count: self.0.len(),
            min: milliseconds(self.0.min()),
            p50: milliseconds(self.0.value_at_quantile(0.5)),
            p99: milliseconds(self.0.value_at_quantile(0.99)),
            max: milliseconds(self.0.max()),
        }
    }
}

impl Comparison {
    /// Compares ours with the bare ones.
    pub(crate) fn of(ours: &Durations, bare: &Durations) -> Self {
        let (ours, bare) = (ours.summary(), bare.summary());
        Self {
            ours,
            bare,
            p50_ratio: ours.p50 / bare.p50,
            p99_ratio: ours.p99 / bare.p99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_in_milliseconds_and_ratios_relate_the_percentiles() {
        let (mut ours, mut bare) = (Durations::new().unwrap(), Durations::new().unwrap());
        for microseconds in 1..=1000 {
            let duration = Duration::from_micros(microseconds);
            ours.record(3 * duration).unwrap();
            bare.record(duration).unwrap();
        }
        let comparison = Comparison::of(&ours, &bare);
        assert_eq!(comparison.bare.count, 1000);
        for (value, expected) in [
            (comparison.bare.min, 0.001),
            (comparison.bare.p50, 0.5),
            (comparison.bare.p99, 0.99),
            (comparison.ours.p99, 2.97),
            (comparison.ours.max, 3.0),
            (comparison.p50_ratio, 3.0),
            (comparison.p99_ratio, 3.0),
        ] {
            assert!((value / expected - 1.0).abs() < 0.003, "{comparison:?}");
        }
    }
}

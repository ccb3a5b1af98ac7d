//! Durations, and what can be said of many of them.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Many durations, each kept to three digits.
#[derive(Debug)]
pub(crate) struct Durations(Histogram<u64>);

/// Durations beside those that they are compared with.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    /// What was measured.
    pub(crate) ours: Summary,
    /// What it is compared with.
    pub(crate) bare: Summary,
    /// The median in multiples of the other median.
    pub(crate) p50_ratio: f64,
    /// The same of the slowest of a hundred.
    pub(crate) p99_ratio: f64,
}

/// What is said about many durations, all of it in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    /// How many there were.
    pub(crate) count: u64,
    /// The shortest.
    pub(crate) min: f64,
    /// Half of them were shorter.
    pub(crate) p50: f64,
    /// 99 of 100 were shorter.
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) max: f64,
}

impl Durations {
    /// None yet.
    ///
    /// # Errors
    /// Never, for three digits.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    /// One more.
    ///
    /// # Errors
    /// If it is longer than five hundred years.
    pub(crate) fn record(&mut self, duration: Duration) -> Result<()> {
        Ok(self.0.record(u64::try_from(duration.as_nanos())?)?)
    }

    /// What there is to say.
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
    /// Ours in multiples of the bare ones.
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
    fn percentiles_are_in_milliseconds_and_multiples_of_the_others() {
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

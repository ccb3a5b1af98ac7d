//! Every single request of the clients, whatever its outcome: how long it took, and whether its
//! response was one that the API promises.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use system_tests::{Answer, Problem};

/// After this time, the gateway has given up on any request.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    log: Mutex<Log>,
    /// How many are in flight, by function.
    flying: Mutex<BTreeMap<&'static str, usize>>,
}

/// See [`Requests`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    /// How long each response took.
    pub(crate) times: Vec<Duration>,
    /// The number of responses by status and function.
    pub(crate) statuses: BTreeMap<(u16, &'static str), u64>,
    /// The number of requests without a response: broken connections.
    pub(crate) unanswered: u64,
    /// Responses that took too long.
    pub(crate) slow: Vec<String>,
    /// Errors that are not problem documents.
    pub(crate) bare_errors: Vec<String>,
}

/// How long responses took, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Requests {
    /// Counts a request with a response.
    pub(crate) fn answered(
        &self,
        change: &str,
        function: &'static str,
        answer: &Answer,
        time: Duration,
    ) {
        let what = || format!("{change} ({function})");
        self.note(|log| {
            log.times.push(time);
            *log.statuses.entry((answer.status, function)).or_default() += 1;
            if time > TIME_LIMIT {
                log.slow
                    .push(format!("{}: {:.1} s", what(), time.as_secs_f64()));
            }
            if answer.status >= 400 && problem(answer).is_none() {
                log.bare_errors
                    .push(format!("{}: {}", what(), answer.status));
            }
        });
    }

    /// Counts a request without a response.
    pub(crate) fn unanswered(&self, change: &str, function: &str, time: Duration) {
        self.note(|log| {
            log.unanswered += 1;
            if time > TIME_LIMIT {
                let seconds = time.as_secs_f64();
                log.slow
                    .push(format!("{change} ({function}): {seconds:.1} s"));
            }
        });
    }

    /// How many responses of this function had this status so far.
    pub(crate) fn count(&self, function: &'static str, status: u16) -> u64 {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let count = log.statuses.get(&(status, function));
        count.copied().unwrap_or_default()
    }

    /// A copy of the log.
    pub(crate) fn log(&self) -> Log {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, note: impl FnOnce(&mut Log)) {
        note(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts a request as in flight until the result is dropped.
    pub(crate) fn take_off(&self, function: &'static str) -> Flying<'_> {
        self.count_flying(|flying| *flying.entry(function).or_default() += 1);
        Flying(self, function)
    }

    /// The number of requests to this function in flight.
    pub(crate) fn in_flight(&self, function: &str) -> usize {
        let mut count = None;
        self.count_flying(|flying| count = flying.get(function).copied());
        count.unwrap_or_default()
    }

    fn count_flying(&self, count: impl FnOnce(&mut BTreeMap<&'static str, usize>)) {
        count(&mut self.flying.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A request in flight.
pub(crate) struct Flying<'a>(&'a Requests, &'static str);

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.0
            .count_flying(|flying| *flying.entry(self.1).or_default() -= 1);
    }
}

impl Log {
    /// Percentiles of the response times.
    pub(crate) fn latency(&self) -> Latency {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |percent: usize| {
            let position = (times.len() * percent).div_ceil(100).saturating_sub(1);
            let time = times.get(position).copied().unwrap_or_default();
            time.as_secs_f64() * 1000.0
        };
        Latency {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// The response's problem document, if it is one.
pub(crate) fn problem(answer: &Answer) -> Option<Problem> {
    let is_one = answer
        .headers
        .get("content-type")
        .is_some_and(|content_type| content_type == "application/problem+json");
    is_one
        .then(|| serde_json::from_slice(&answer.body).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_times() {
        let log = Log {
            times: (1..=200).rev().map(Duration::from_millis).collect(),
            ..Log::default()
        };
        let Latency { p50, p99, max } = log.latency();
        assert!(
            (p50 - 100.0).abs() < 1e-9 && (p99 - 198.0).abs() < 1e-9,
            "{log:?}"
        );
        assert!((max - 200.0).abs() < 1e-9, "{log:?}");
        assert!(Log::default().latency().max.abs() < 1e-9);
    }
}

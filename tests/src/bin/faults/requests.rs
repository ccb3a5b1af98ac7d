//! Every single request of the clients, whatever its outcome: how long it took, and whether its
//! response was one that the API promises.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use system_tests::{Answer, Problem};

use crate::ledger::Kind;

/// After this time, the gateway has given up on any request.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<Log>);

/// See [`Requests`].
#[derive(Debug, Default, Clone)]
pub(crate) struct Log {
    /// How long each response took.
    pub(crate) times: Vec<Duration>,
    /// The number of responses by status and kind of change.
    pub(crate) statuses: BTreeMap<(u16, Kind), u64>,
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
    pub(crate) fn answered(&self, change: &str, kind: Kind, answer: &Answer, time: Duration) {
        let what = || format!("{change} ({})", kind.function());
        self.note(|log| {
            log.times.push(time);
            *log.statuses.entry((answer.status, kind)).or_default() += 1;
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
    pub(crate) fn unanswered(&self, change: &str, kind: Kind, time: Duration) {
        self.note(|log| {
            log.unanswered += 1;
            if time > TIME_LIMIT {
                let seconds = time.as_secs_f64();
                let function = kind.function();
                log.slow
                    .push(format!("{change} ({function}): {seconds:.1} s"));
            }
        });
    }

    /// How many responses of this kind had this status so far.
    pub(crate) fn count(&self, kind: Kind, status: u16) -> u64 {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = log.statuses.get(&(status, kind));
        count.copied().unwrap_or_default()
    }

    /// A copy of the log.
    pub(crate) fn log(&self) -> Log {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, note: impl FnOnce(&mut Log)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
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

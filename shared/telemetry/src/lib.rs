//! What a function tells its operators.
//!
//! One JSON object per line on standard output, which Lambda passes to CloudWatch Logs; one trace
//! id from the HTTP request through gRPC metadata and Kafka headers to the consumers; and counts
//! and latencies as CloudWatch embedded metrics.
//!
//! Identifiers only: names, e-mail addresses, dates of birth, tokens and passwords never appear in
//! a log line or a metric.

mod logs;
mod metrics;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;

pub use logs::{start_logging, start_logging_without_answered_errors};
pub use metrics::{MOST_VALUES, Metrics, Unit};
pub use trace::{TraceContext, TraceContextError};

//! What a function tells its operators.
//!
//! One JSON object per line on standard output, which Lambda hands to CloudWatch Logs;
//! one trace id from the HTTP request through gRPC metadata and Kafka headers into the
//! consumers; and counts and latencies as CloudWatch embedded metrics.
//!
//! Identifiers only: a name, an e-mail address, a date of birth, a token or a password
//! never goes into a log line or a metric.

mod logs;
mod metrics;
mod trace;

pub use logs::{start_logging, start_logging_without_answered_errors};
pub use metrics::{Metrics, Unit};
pub use trace::{TraceContext, TraceContextError};

//! How long a request may take.

use std::time::Duration;

/// How long a request may take before the client is told to try again. Below the 29
/// seconds after which API Gateway gives up with an answer of its own, and below the
/// functions' own time-out.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

use std::time::Duration;

/// How long a request may take before the client is told to try again. Shorter than the 29 seconds
/// after which API Gateway gives up with a response of its own, and than the functions' own
/// timeout.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

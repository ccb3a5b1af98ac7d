//! Waiting for asynchronous effects.

use std::time::{Duration, Instant};

/// How long an asynchronous effect may take: long enough for a busy machine, and rarely used up
/// where it works.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// Retries until there is a result, and fails after [`PATIENCE`].
pub async fn eventually<T>(what: &str, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, attempt).await
}

/// Retries until there is a result, and fails after this long.
pub async fn within<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(result) = attempt().await {
            return result;
        }
        assert!(
            Instant::now() < deadline,
            "timed out after {} s: {what}",
            patience.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
}

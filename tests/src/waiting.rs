//! Waiting for what happens some time after an answer.

use std::time::{Duration, Instant};

/// How long something may take that nobody waits for: long enough for a machine that is
/// busy with other things, and over long before that where it works.
pub const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(50);

/// Tries again and again until there is a result, and fails after [`PATIENCE`].
pub async fn eventually<T>(what: &str, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, attempt).await
}

/// Tries again and again until there is a result, and fails after this long.
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
            "waited in vain for {} s: {what}",
            patience.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
}

//! The memory that a function needs for its work.

use std::fs;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::{environment::Environment, repository::repository, subject::Subject};

/// Enough for buffers and pools to reach their full size.
const INVOCATIONS: u32 = 20;

/// The peak of a process that has handled this event repeatedly, in bytes. The response does not
/// matter: the authorizer's rejection is a response as well.
///
/// # Errors
/// If the process ends.
pub(crate) async fn measure(function: &Subject, event: Bytes) -> Result<u64> {
    let (mut environment, _) = Environment::start(function).await?;
    for _ in 0..INVOCATIONS {
        environment
            .invoke(event.clone())
            .await
            .context("there was no response to the sample event")?;
    }
    environment.peak_memory()
}

/// The event of `cargo lambda invoke`.
///
/// # Errors
/// If there is none for this function.
pub(crate) fn sample_event(binary: &str) -> Result<Vec<u8>> {
    let path = repository()
        .join("events")
        .join(binary)
        .with_extension("json");
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

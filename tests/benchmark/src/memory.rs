//! How much memory a function needs to do what it is for.

use std::fs;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::{environment::Environment, repository::repository, subject::Subject};

/// Enough for buffers and pools to have got as large as they will.
const INVOCATIONS: u32 = 20;

/// The peak of a process that has handled this event again and again, in bytes. What it
/// answers does not matter: the authorizer's refusal is an answer as well.
///
/// # Errors
/// If the process ends over it.
pub(crate) async fn measure(function: &Subject, event: Bytes) -> Result<u64> {
    let (mut environment, _) = Environment::start(function).await?;
    for _ in 0..INVOCATIONS {
        environment
            .invoke(event.clone())
            .await
            .context("the sample event was not answered")?;
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

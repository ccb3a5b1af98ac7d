//! From the start of the process to its first poll of the runtime API.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{
    Options,
    environment::Environment,
    statistics::{Comparison, Durations},
    subject::Subject,
};

/// Starts the bare function and this one alternately.
///
/// # Errors
/// If one of them does not start.
pub(crate) async fn measure(
    function: &Subject,
    bare: &Subject,
    options: &Options,
) -> Result<Comparison> {
    // Once beforehand, so that both binaries have been read from disk.
    start(bare).await?;
    start(function).await?;
    let (mut bare_starts, mut starts) = (Durations::new()?, Durations::new()?);
    for _ in 0..options.starts {
        bare_starts.record(start(bare).await?)?;
        starts.record(start(function).await?)?;
    }
    Ok(Comparison::of(&starts, &bare_starts))
}

async fn start(subject: &Subject) -> Result<Duration> {
    let (_, duration) = Environment::start(subject)
        .await
        .with_context(|| format!("{} does not start", subject.binary))?;
    Ok(duration)
}

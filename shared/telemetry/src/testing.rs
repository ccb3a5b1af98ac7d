//! What a function would log.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::instrument::WithSubscriber as _;
use tracing_subscriber::fmt;

use crate::logs::filter;

/// The lines that this work writes to the log at this level, as `LOG_LEVEL` says it. Only those of its
/// own task.
pub async fn logged<T>(level: &str, work: impl Future<Output = T>) -> (T, Vec<String>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = fmt()
        .json()
        .with_env_filter(filter(level, ""))
        .with_writer(move || writer.clone())
        .finish();
    let done = work.with_subscriber(subscriber).await;
    let written = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    let text = String::from_utf8_lossy(&written).into_owned();
    (done, text.lines().map(str::to_owned).collect())
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! Log lines as JSON, at the level that `LOG_LEVEL` asks for.

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging for this process: once, first thing in `main`.
///
/// `LOG_LEVEL` takes a level (`info`, the default) or a `tracing` filter such as
/// `info,sqlx=debug`; a filter that cannot be read falls back to `info`.
pub fn start_logging() {
    let filter = std::env::var("LOG_LEVEL").unwrap_or_default();
    let filter = EnvFilter::try_new(&filter)
        .ok()
        .filter(|_| !filter.is_empty())
        .unwrap_or_else(|| EnvFilter::new("info"));
    fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_env_filter(filter)
        .init();
}

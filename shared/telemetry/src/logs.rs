//! Log lines as JSON, at the level set by `LOG_LEVEL`.

use std::sync::OnceLock;

use tracing_subscriber::{EnvFilter, fmt};

/// Where the Lambda runtime logs every event unmodified, including passwords, tokens and patient
/// data. No setting turns this on.
const RAW_EVENTS: &str = "lambda_runtime::layers::api_response=info";

/// Where the Lambda runtime logs each error that a function returns.
const ANSWERED_ERRORS: &str = "lambda_runtime::layers::panic=off";

/// Where the Kafka client says of each connection and partition that it opens it: a dozen lines for the
/// first record of a process. What goes wrong with them is a warning, and what is tried again is said
/// elsewhere (`rskafka::backoff`).
const ROUTINE: &str = "rskafka::connection=warn,rskafka::client::partition=warn";

static STARTED: OnceLock<()> = OnceLock::new();

/// Starts logging for this process. Call it once, first thing in `main`.
///
/// `LOG_LEVEL` takes a level (`info`, the default) or a `tracing` filter such as `info,sqlx=debug`;
/// an invalid filter falls back to `info`. What the Kafka client does all the time is only logged at
/// `debug` and `trace`, and by a filter that names it: `info,rskafka=info`.
pub fn start_logging() {
    start("");
}

/// Like [`start_logging`], for a function that rejects by returning an error: an authorizer. It
/// logs its own failures, and panics go to standard error anyway; the runtime would log every
/// rejection as an error.
pub fn start_logging_without_answered_errors() {
    start(ANSWERED_ERRORS);
}

fn start(closed: &str) {
    fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_ansi(false)
        .with_env_filter(filter(
            &std::env::var("LOG_LEVEL").unwrap_or_default(),
            closed,
        ))
        .init();
    let _ = STARTED.set(());
}

/// Whether this process logs: programs do, tests of their parts do not.
pub(crate) fn is_logging() -> bool {
    STARTED.get().is_some()
}

pub(crate) fn filter(level: &str, closed: &str) -> EnvFilter {
    let level = if level.is_empty() { "info" } else { level };
    // Also where fewer lines are wanted than these: what is said of a part counts more.
    let says_itself = |part: &str| {
        let levels = ["debug", "trace", "error", "off"];
        levels.iter().any(|level| part.eq_ignore_ascii_case(level)) || part.starts_with("rskafka")
    };
    let routine = if level.split(',').map(str::trim).any(says_itself) {
        ""
    } else {
        ROUTINE
    };
    EnvFilter::try_new(format!("{level},{routine},{RAW_EVENTS},{closed}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{closed}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_level_turns_on_the_log_of_raw_events() {
        for level in [
            "",
            "trace",
            "lambda_runtime::layers::api_response=trace",
            "==",
        ] {
            let filter = filter(level, "").to_string();
            let mut raw_events = filter
                .split(',')
                .filter(|part| part.contains("api_response"));
            assert!(raw_events.all(|part| part == RAW_EVENTS), "{filter}");
        }
    }

    #[test]
    fn what_the_kafka_client_always_does_is_logged_for_those_who_want_it() {
        let is_quiet = |level| {
            filter(level, "")
                .to_string()
                .contains("rskafka::connection=warn")
        };
        for level in ["", "info", "warn", "info,sqlx=debug"] {
            assert!(is_quiet(level), "{level}");
        }
        for level in [
            "debug",
            "TRACE",
            "error",
            "off",
            "info,rskafka=info",
            "info,rskafka::connection=debug",
        ] {
            assert!(!is_quiet(level), "{level}");
        }
    }

    #[test]
    fn an_invalid_log_level_falls_back_to_info() {
        let filter = |level| filter(level, "").to_string();
        assert_eq!(filter("=="), "info");
        assert!(filter("").contains("info"));
        assert!(filter("warn,sqlx=debug").contains("sqlx=debug"));
    }

    #[test]
    fn no_log_level_turns_on_what_a_function_has_turned_off() {
        for level in ["", "trace", "==", "lambda_runtime::layers::panic=trace"] {
            let filter = filter(level, ANSWERED_ERRORS).to_string();
            let mut answered = filter.split(',').filter(|part| part.contains("panic"));
            assert!(answered.all(|part| part == ANSWERED_ERRORS), "{filter}");
            assert!(filter.contains(ANSWERED_ERRORS), "{filter}");
        }
    }
}

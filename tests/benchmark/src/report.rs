//! The report of one run: a table for people, JSON for comparisons.

mod tables;

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::{Context as _, Result};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::{
    Options, build,
    figures::{BookingFigures, FunctionFigures, LatencyFigures, Needs},
};

/// Everything about one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    time: DateTime<Utc>,
    profile: String,
    machine: Machine,
    functions: BTreeMap<String, FunctionFigures>,
    bare_function: Option<Needs>,
    latencies: BTreeMap<String, LatencyFigures>,
    booking: Option<BookingFigures>,
    /// What could not be measured, and why.
    failures: Vec<Failure>,
}

/// The machine: figures of different machines cannot be compared.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Machine {
    architecture: &'static str,
    processors: usize,
    /// The load average over a minute when the measurement began. A high load makes figures slow
    /// and uneven.
    load: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Failure {
    what: String,
    reason: String,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(options: &Options) -> Self {
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            time: Utc::now(),
            profile: options.profile.clone(),
            machine: Machine {
                architecture: env::consts::ARCH,
                processors: thread::available_parallelism().map_or(1, usize::from),
                load: load.and_then(|text| text.split(' ').next()?.parse().ok()),
            },
            functions: BTreeMap::new(),
            bare_function: None,
            latencies: BTreeMap::new(),
            booking: None,
            failures: Vec::new(),
        }
    }

    /// Adds the figures of a function, or why it could not be measured.
    pub(crate) fn function(&mut self, binary: &str, figures: Result<FunctionFigures>) {
        if let Some(figures) = self.kept(binary, figures) {
            self.functions.insert(binary.to_owned(), figures);
        }
    }

    /// Adds the figures of the bare function.
    pub(crate) fn bare_function(&mut self, figures: Result<Needs>) {
        self.bare_function = self.kept(build::BARE_FUNCTION, figures);
    }

    /// Adds the figures of a function's warm requests.
    pub(crate) fn latency(&mut self, binary: &str, figures: Result<LatencyFigures>) {
        let what = format!("warm requests to {binary}");
        if let Some(figures) = self.kept(&what, figures) {
            // That process ran longer than the one for the sample event.
            if let Some(function) = self.functions.get_mut(binary) {
                let peak = &mut function.needs.peak_memory_bytes;
                *peak = (*peak).max(figures.peak_memory_bytes);
            }
            self.latencies.insert(binary.to_owned(), figures);
        }
    }

    /// Adds the figures of many who book at once.
    pub(crate) fn booking(&mut self, figures: Result<BookingFigures>) {
        self.booking = self.kept("bookings by many at once", figures);
    }

    fn kept<T>(&mut self, what: &str, figures: Result<T>) -> Option<T> {
        figures
            .map_err(|error| {
                self.failures.push(Failure {
                    what: what.to_owned(),
                    reason: format!("{error:#}"),
                });
            })
            .ok()
    }

    /// Writes the figures to a new file for this run, and to the requested one.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(&self, options: &Options) -> Result<Vec<PathBuf>> {
        let time = self.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let own = build::folder().join(time).with_extension("json");
        let files: Vec<PathBuf> = [own].into_iter().chain(options.json.clone()).collect();
        let text = serde_json::to_string_pretty(self)?;
        for file in &files {
            fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
            fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(files)
    }

    /// Success if everything was measured. A missed target is not a failure: it depends on the
    /// machine.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            architecture,
            processors,
            load,
        } = &self.machine;
        write!(
            f,
            "Profile {}, {architecture}, {processors} processors",
            self.profile
        )?;
        if let Some(load) = load {
            write!(f, ", load {load} at the beginning")?;
        }
        if self.profile != "release" {
            write!(
                f,
                "; AWS gets `release`: these figures say nothing about it"
            )?;
        }
        writeln!(f, "\n")?;
        writeln!(
            f,
            "{}",
            tables::functions(&self.functions, self.bare_function.as_ref())
        )?;
        if !self.latencies.is_empty() {
            writeln!(
                f,
                "\nWarm requests through the runtime API, with nothing in between; bare request: \
                 the same to the bare function; busy: until the function was ready for the next"
            )?;
            writeln!(f, "{}", tables::latencies(&self.latencies))?;
        }
        for (binary, figures) in &self.latencies {
            writeln!(f, "{binary} is compared with: {}", figures.compared_with)?;
            if let Some(undelivered) = figures.undelivered {
                writeln!(
                    f,
                    "  and is busy with the delivery to billing and Kafka after it; patients left to the relay: {undelivered}"
                )?;
            }
        }
        if let Some(figures) = &self.booking {
            writeln!(
                f,
                "\n{} clients at once, all on the same day of the same clinician: {} bookings, {} \
                 requests refused for a conflict",
                figures.clients, figures.bookings, figures.conflicts
            )?;
            writeln!(f, "{}", tables::booking(figures))?;
        }
        for Failure { what, reason } in &self.failures {
            writeln!(f, "NOT MEASURED: {what}: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{Comparison, Summary};

    fn summary(p50: f64) -> Summary {
        Summary {
            count: 20,
            min: p50,
            p50,
            p99: 3.0 * p50,
            max: 3.0 * p50,
        }
    }

    fn comparison(ours: f64, bare: f64) -> Comparison {
        Comparison {
            ours: summary(ours),
            bare: summary(bare),
            p50_ratio: ours / bare,
            p99_ratio: ours / bare,
        }
    }

    fn report() -> Report {
        let mut report = Report::new(&clap::Parser::parse_from(["benchmark"]));
        report.function(
            "get-patient",
            Ok(FunctionFigures {
                start: comparison(1.4, 1.0),
                needs: Needs {
                    peak_memory_bytes: 6 * 1024 * 1024,
                    zipped_bytes: 5_200_000,
                },
            }),
        );
        report.latency(
            "get-patient",
            Ok(LatencyFigures {
                request: comparison(0.5, 0.2),
                busy: summary(0.7),
                bare_request: summary(0.1),
                compared_with: "SELECT",
                aim: Some(2.0),
                peak_memory_bytes: 7 * 1024 * 1024,
                undelivered: None,
            }),
        );
        report
    }

    #[test]
    fn the_tables_show_which_targets_are_met() {
        let text = report().to_string();
        for cell in ["1.40 ms", "1.40 ✓", "7.0 MiB ✓", "5.20 MB ✗", "2.50 ✗"] {
            assert!(text.contains(cell), "{cell} is not in\n{text}");
        }
    }

    #[test]
    fn bookings_are_judged_by_the_slowest_and_by_their_processor_time() {
        let mut report = report();
        report.booking(Ok(BookingFigures {
            clients: 100,
            bookings: 1000,
            conflicts: 700,
            request: Summary {
                max: 2100.0,
                ..summary(400.0)
            },
            function_processor_time: 1.5,
            database_processor_time: 2.0,
            bare_processor_time: 1.25,
            refusal_function_processor_time: 0.75,
            refusal_database_processor_time: 0.35,
            ratio: 2.8,
        }));
        let text = report.to_string();
        for cell in [
            "700 requests refused",
            "2100.00 ms ✗",
            "1.25 ms",
            "2.80 ✓",
            "0.75 ms",
            "0.35 ms",
        ] {
            assert!(text.contains(cell), "{cell} is not in\n{text}");
        }
    }

    #[test]
    fn failed_measurements_are_reported_with_their_reason() {
        let mut report = report();
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        let reason = anyhow::anyhow!("the process has ended").context("login does not start");
        report.function("login", Err(reason));
        let expected = "NOT MEASURED: login: login does not start: the process has ended";
        assert!(report.to_string().contains(expected));
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
    }
}

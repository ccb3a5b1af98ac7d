//! What came out: a table for people, JSON for comparisons.

use std::{collections::BTreeMap, env, fmt, path::PathBuf, process::ExitCode};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

use super::{Request, Rival, folder};
use crate::Options;

/// What is measured of each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Measure {
    /// The median of warm requests on one connection, in milliseconds.
    P50,
    /// Their 99th percentile.
    P99,
    /// Warm requests per second on eight connections.
    Rate,
    /// Processor time of the function for each warm request on one connection, in milliseconds.
    Function,
    /// The same of the server's processes that work for it.
    Database,
    /// From the start of a process to its first answer: the median, in milliseconds.
    ColdMedian,
    /// The shortest.
    ColdLowest,
    /// The size of the archive, in bytes.
    Zipped,
    /// The peak of the process that has handled the requests on one connection, in bytes.
    Memory,
}

impl Measure {
    const fn label(self) -> &'static str {
        match self {
            Self::P50 => "warm, 1 connection: p50",
            Self::P99 => "… p99",
            Self::Rate => "warm, 8 connections",
            Self::Function => "processor time of the function",
            Self::Database => "… of PostgreSQL",
            Self::ColdMedian => "cold first request: p50",
            Self::ColdLowest => "… fastest",
            Self::Zipped => "zipped",
            Self::Memory => "peak memory",
        }
    }

    fn shown(self, value: f64) -> String {
        const MEBIBYTE: f64 = 1_048_576.0;
        const MEGABYTE: f64 = 1_000_000.0;
        match self {
            Self::Rate => format!("{value:.0} /s"),
            Self::Zipped => format!("{:.2} MB", value / MEGABYTE),
            Self::Memory => format!("{:.1} MiB", value / MEBIBYTE),
            _ => format!("{value:.3} ms"),
        }
    }
}

/// What was measured of one side.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    #[serde(flatten)]
    pub(super) measures: BTreeMap<Measure, f64>,
    /// How many patients have messages that were not delivered within the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) undelivered: Option<i64>,
}

/// Three sides of the same request.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    pub(super) theirs: Figures,
    pub(super) ours: Figures,
    pub(super) bare: Figures,
}

/// Everything about one run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    time: DateTime<Utc>,
    profile: String,
    theirs: String,
    ours: String,
    #[serde(skip)]
    file: String,
    functions: Vec<(&'static str, Compared)>,
    /// What could not be measured, and why.
    failures: Vec<(&'static str, String)>,
}

impl Outcome {
    /// Nothing yet.
    pub(super) fn new(rival: &Rival, options: &Options) -> Self {
        let [theirs, ours] = rival.names();
        Self {
            time: Utc::now(),
            profile: options.profile.clone(),
            theirs,
            ours,
            file: rival.stem(),
            functions: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds the figures of a function, or why there are none.
    pub(super) fn add(&mut self, request: Request, figures: Result<Compared>) {
        let function = request.function();
        match figures {
            Ok(figures) => self.functions.push((function, figures)),
            Err(error) => self.failures.push((function, format!("{error:#}"))),
        }
    }

    /// The file of this run.
    pub(super) fn file(&self) -> PathBuf {
        let time = self.time.to_rfc3339_opts(SecondsFormat::Secs, true);
        folder().join(format!("{}-{time}.json", self.file))
    }

    /// Success if everything was measured, whatever came out.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.failures.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "function",
            "",
            &self.theirs,
            &self.ours,
            &format!("{} / {}", self.ours, self.theirs),
            "bare SQL",
            &format!("{} / bare SQL", self.ours),
        ]);
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for (function, Compared { theirs, ours, bare }) in &self.functions {
            for (measure, ours) in &ours.measures {
                let shown = |figures: &Figures| {
                    let value = figures.measures.get(measure);
                    value.map_or(String::new(), |value| measure.shown(*value))
                };
                let ratio = |figures: &Figures| {
                    let value = figures.measures.get(measure);
                    value.map_or(String::new(), |value| format!("{:.2}", ours / value))
                };
                table.add_row([
                    (*function).to_owned(),
                    measure.label().to_owned(),
                    shown(theirs),
                    measure.shown(*ours),
                    ratio(theirs),
                    shown(bare),
                    ratio(bare),
                ]);
            }
        }
        table
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile {}, {}", self.profile, env::consts::ARCH)?;
        if self.profile != "release" {
            write!(
                f,
                "; AWS gets `release`: these figures say nothing about it"
            )?;
        }
        writeln!(f, "\n\n{}", self.table())?;
        for (function, compared) in &self.functions {
            for (side, figures) in [
                (&self.theirs, &compared.theirs),
                (&self.ours, &compared.ours),
            ] {
                if let Some(undelivered) = figures.undelivered {
                    writeln!(
                        f,
                        "{function}, {side}: includes the delivery to billing and Kafka; patients \
                         left to the relay: {undelivered}"
                    )?;
                }
            }
        }
        for (function, reason) in &self.failures {
            writeln!(f, "NOT MEASURED: {function}: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(milliseconds: f64, undelivered: Option<i64>) -> Figures {
        Figures {
            measures: BTreeMap::from([
                (Measure::P50, milliseconds),
                (Measure::Rate, 1000.0),
                (Measure::Zipped, 2_500_000.0),
            ]),
            undelivered,
        }
    }

    fn outcome() -> Outcome {
        let mut outcome = Outcome {
            time: Utc::now(),
            profile: "dev".to_owned(),
            theirs: "theirs (0123456789)".to_owned(),
            ours: "ours".to_owned(),
            file: "0123456789".to_owned(),
            functions: Vec::new(),
            failures: Vec::new(),
        };
        let mut bare = figures(0.25, None);
        bare.measures.remove(&Measure::Zipped);
        let compared = Compared {
            theirs: figures(2.0, Some(3)),
            ours: figures(1.0, Some(0)),
            bare,
        };
        outcome.add(Request::Create, Ok(compared));
        outcome
    }

    #[test]
    fn each_measure_has_both_commits_their_ratio_and_the_bare_sql() {
        let text = outcome().to_string();
        for cell in [
            "2.000 ms",
            "1.000 ms",
            "0.50",
            "0.250 ms",
            "4.00",
            "1000 /s",
            "2.50 MB",
            "say nothing about it",
            "theirs (0123456789): includes",
            "relay: 3",
        ] {
            assert!(text.contains(cell), "{cell} is not in\n{text}");
        }
    }

    #[test]
    fn a_function_that_could_not_be_measured_fails_the_run() {
        let mut outcome = outcome();
        assert_eq!(outcome.exit_code(), ExitCode::SUCCESS);
        outcome.add(Request::Get, Err(anyhow::anyhow!("it does not start")));
        assert_eq!(outcome.exit_code(), ExitCode::FAILURE);
        assert!(
            outcome
                .to_string()
                .contains("NOT MEASURED: get-patient: it does not start")
        );
    }
}

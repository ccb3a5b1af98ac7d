//! The result of the import, for people and for programs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// The result for the file, of this run and earlier ones together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The file.
    pub(crate) file: PathBuf,
    /// The API that its patients were sent to.
    pub(crate) api_url: String,
    /// When this run began.
    pub(crate) started_at: DateTime<Utc>,
    /// How long this run took.
    pub(crate) seconds: f64,
    /// How many rows the file has.
    pub(crate) rows: u64,
    /// How many of them earlier runs had settled.
    pub(crate) before: u64,
    /// Patients that were registered.
    pub(crate) created: u64,
    /// Patients whose e-mail address was registered already.
    pub(crate) already_there: u64,
    /// Rows of patients who have died.
    pub(crate) left_out: Vec<ReportedRow>,
    /// Rows that were rejected.
    pub(crate) refused: Vec<ReportedRow>,
    /// Whether this run was told to stop.
    pub(crate) interrupted: bool,
    /// Why this run failed, if it did.
    pub(crate) failure: Option<String>,
}

/// A row that was not registered, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedRow {
    /// The line of the file where the row begins, from 1.
    pub(crate) line: u64,
    /// The id of the row in the file.
    pub(crate) id: String,
    /// The reason.
    pub(crate) reason: String,
}

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    fn left(&self) -> u64 {
        let reported = (self.left_out.len() + self.refused.len()) as u64;
        self.rows
            .saturating_sub(self.created + self.already_there + reported)
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rows of {}", self.rows, self.file.display())?;
        let rates = [
            ("created", self.created),
            ("existed already", self.already_there),
            ("skipped", self.left_out.len() as u64),
            ("rejected", self.refused.len() as u64),
            ("left", self.left()),
        ];
        for (name, rows) in rates {
            writeln!(f, "  {name:<15} {rows:>7}")?;
        }
        writeln!(
            f,
            "in {:.1} s; {} rows were settled before",
            self.seconds, self.before
        )?;
        for (what, rows) in [("Skipped", &self.left_out), ("Rejected", &self.refused)] {
            if !rows.is_empty() {
                writeln!(f, "\n{what}:")?;
            }
            for row in rows {
                writeln!(f, "  line {}, {}: {}", row.line, row.id, row.reason)?;
            }
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "\nStopped at {failure}")?;
        }
        if self.interrupted || self.failure.is_some() {
            writeln!(f, "\nRun it again to continue with the remaining rows.")?;
        }
        Ok(())
    }
}

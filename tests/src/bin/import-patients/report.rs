//! What became of the file, for people and for programs.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What became of the file, this run and earlier ones together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The file.
    pub(crate) file: PathBuf,
    /// Where its patients went.
    pub(crate) api_url: String,
    /// When this run began.
    pub(crate) started_at: DateTime<Utc>,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How many rows the file has.
    pub(crate) rows: u64,
    /// How many of them earlier runs were done with.
    pub(crate) before: u64,
    /// Patients that were registered.
    pub(crate) created: u64,
    /// Patients whose e-mail address was registered already.
    pub(crate) already_there: u64,
    /// Rows of the dead.
    pub(crate) left_out: Vec<ReportedRow>,
    /// Rows that were refused.
    pub(crate) refused: Vec<ReportedRow>,
    /// Whether this run was told to stop.
    pub(crate) interrupted: bool,
    /// Why this run had to stop, if it had to.
    pub(crate) failure: Option<String>,
}

/// A row that is no patient now, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReportedRow {
    /// The line of the file that it begins in, from 1.
    pub(crate) line: u64,
    /// What the file calls it.
    pub(crate) id: String,
    /// Why.
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
            ("already there", self.already_there),
            ("left out", self.left_out.len() as u64),
            ("refused", self.refused.len() as u64),
            ("to be done", self.left()),
        ];
        for (name, rows) in rates {
            writeln!(f, "  {name:<14} {rows:>7}")?;
        }
        writeln!(
            f,
            "in {:.1} s; {} rows were done before",
            self.seconds, self.before
        )?;
        for (what, rows) in [("Left out", &self.left_out), ("Refused", &self.refused)] {
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
            writeln!(f, "\nRun it again to go on with the rows that are left.")?;
        }
        Ok(())
    }
}

//! Progress of the import: a bar on a terminal, otherwise a line now and then.

use std::time::{Duration, Instant};

use console::{Term, user_attended_stderr};
use indicatif::{ProgressBar, ProgressStyle};

use crate::journal::Outcome;

/// How often a line is printed if no bar can be drawn.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// The progress display.
pub(crate) struct Progress {
    bar: ProgressBar,
    last_sign: Option<Instant>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    created: u64,
    already_there: u64,
    left_out: u64,
    refused: u64,
}

impl Progress {
    /// For this many rows.
    pub(crate) fn new(rows: u64) -> Self {
        let style = "{bar:30} {pos} of {len} rows, {msg} [{elapsed}, {eta} to go]";
        let bar = ProgressBar::new(rows).with_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self {
            bar,
            last_sign: (!user_attended_stderr()).then(Instant::now),
            counts: Counts::default(),
        }
    }

    /// Counts the rows that earlier runs have settled.
    pub(crate) fn skip(&mut self, rows: u64) {
        self.bar.set_position(rows);
        self.bar.reset_eta();
        self.show();
    }

    /// Counts a settled row.
    pub(crate) fn settled(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Created { .. } => self.counts.created += 1,
            Outcome::AlreadyThere { .. } => self.counts.already_there += 1,
            Outcome::LeftOut { .. } => self.counts.left_out += 1,
            Outcome::Refused { .. } => self.counts.refused += 1,
        }
        self.bar.inc(1);
        self.show();
    }

    /// Shows how many rows the API has worked through, of those that it is importing.
    pub(crate) fn at(&mut self, settled: u64, processed: u64) {
        self.bar.set_position(settled + processed);
        self.show();
    }

    /// Ends the display.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        let Counts {
            created,
            already_there,
            left_out,
            refused,
        } = self.counts;
        let counts = format!(
            "{created} created, {already_there} existed already, {left_out} skipped, {refused} rejected"
        );
        self.bar.set_message(counts.clone());
        if self
            .last_sign
            .is_some_and(|last| last.elapsed() > SIGN_OF_LIFE)
        {
            self.last_sign = Some(Instant::now());
            let line = format!(
                "{} of {} rows, {counts}",
                self.bar.position(),
                self.bar.length().unwrap_or_default()
            );
            // If this fails, there is nobody to report it to.
            let _ = Term::stderr().write_line(&line);
        }
    }
}

//! What the drill says: a line for each step, and the invariants in the end.

use std::{
    fmt,
    time::{Duration, Instant},
};

use console::Term;
use system_tests::{Invariant, write_invariants};

/// The steps, for people watching.
pub(crate) struct Steps(Instant);

impl Steps {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Prints a line to standard error.
    pub(crate) fn say(&mut self, line: &str) {
        let seconds = self.elapsed().as_secs();
        // If this fails, there is nobody to report it to.
        let _ = Term::stderr().write_line(&format!("{seconds:>4} s  {line}"));
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The result.
pub(crate) struct Report {
    /// How long all of it took.
    pub(crate) seconds: f64,
    /// From the end of the old database until the API had answered what it was asked.
    pub(crate) out_of_use: f64,
    pub(crate) megabytes: u64,
    pub(crate) without_tables: bool,
    pub(crate) invariants: Vec<Invariant>,
}

/// Whether all of them hold.
pub(crate) fn hold(invariants: &[Invariant]) -> bool {
    let mut invariants = invariants.iter();
    invariants.all(|invariant| invariant.violations.is_empty())
}

/// As Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            out_of_use,
            megabytes,
            ..
        } = self;
        let what = if self.without_tables {
            "The database alone was restored"
        } else {
            "Database and tables were restored"
        };
        writeln!(
            f,
            "\n{what}, from a backup of {megabytes} MB: out of use for {out_of_use:.0} s, {seconds:.0} s \
             with all checks.\n"
        )?;
        write_invariants(f, &self.invariants)?;
        if self.without_tables && !hold(&self.invariants) {
            writeln!(
                f,
                "\nThat is the trap: restore database and tables to the same moment."
            )?;
        }
        Ok(())
    }
}

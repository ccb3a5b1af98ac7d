//! What must hold after a run of a driver, and how it is shown.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

/// How many violations of each invariant are printed.
const SHOWN: usize = 5;

/// An invariant, and whether it held.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invariant {
    /// The invariant in words.
    pub name: &'static str,
    /// How many things were checked.
    pub checked: usize,
    /// The violations, by id.
    pub violations: Vec<String>,
    /// Information about what is not a violation.
    pub notes: Vec<String>,
}

impl Invariant {
    /// An invariant that nothing has been checked of.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            checked: 0,
            violations: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Counts one check.
    pub fn check(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violations.push(violation());
        }
    }
}

/// Writes a table of all of them, the notes, and the first violations of each, as Markdown.
///
/// # Errors
/// If it cannot be written.
pub fn write_invariants(f: &mut fmt::Formatter<'_>, invariants: &[Invariant]) -> fmt::Result {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["invariant", "checked", "violations"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for invariant in invariants {
        table.add_row([
            invariant.name.to_owned(),
            invariant.checked.to_string(),
            invariant.violations.len().to_string(),
        ]);
    }
    writeln!(f, "{table}\n")?;
    for invariant in invariants {
        for note in &invariant.notes {
            writeln!(f, "- {}: {note}", invariant.name)?;
        }
    }
    for invariant in invariants {
        if !invariant.violations.is_empty() {
            writeln!(f, "\nVIOLATED: {}", invariant.name)?;
        }
        for violation in invariant.violations.iter().take(SHOWN) {
            writeln!(f, "  {violation}")?;
        }
    }
    Ok(())
}

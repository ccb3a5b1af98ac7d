//! Messages for people watching.

use console::Term;

/// Prints a line to standard error.
pub(crate) fn say(line: &str) {
    // If this fails, there is nobody to report it to.
    let _ = Term::stderr().write_line(line);
}

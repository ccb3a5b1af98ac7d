//! What whoever watches is told.

use console::Term;

/// Says something.
pub(crate) fn say(line: &str) {
    // Where nobody can be told, there is nobody to tell that.
    let _ = Term::stderr().write_line(line);
}

//! Calling cargo.

use std::ffi::OsStr;
use std::process::Command;

use crate::settings::Settings;

/// A call of a program of cargo's, whose progress can be read in its log.
pub(super) fn cargo(settings: &Settings, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(&settings.repository)
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
        // The queries are checked against what is committed, not against a database
        // that has not been migrated yet.
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL");
    without_traces_of_cargo_run(&mut command);
    command
}

/// Takes away what `cargo run` has told this program about its own package. Build scripts
/// ask for such variables, and would make cargo compile anew what is there already.
pub fn without_traces_of_cargo_run(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let readable = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"]
            .iter()
            .any(|prefix| readable.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
}

//! A function that callgrind counts the instructions of.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use crate::{build, environment::Environment, subject::Subject};

/// How many instructions a request takes, of several counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) lowest: u64,
    pub(super) median: u64,
    pub(super) highest: u64,
}

impl Counted {
    /// The counts in short, unless there are none.
    pub(super) fn of(mut counts: Vec<u64>) -> Option<Self> {
        counts.sort_unstable();
        Some(Self {
            lowest: *counts.first()?,
            median: *counts.get(counts.len() / 2)?,
            highest: *counts.last()?,
        })
    }
}

/// Whether there is a valgrind, with its program that controls callgrind.
pub(super) fn is_installed() -> bool {
    ["valgrind", "callgrind_control"]
        .iter()
        .all(|program| Command::new(program).arg("--version").output().is_ok())
}

/// A process whose instructions are counted from [`Counter::begin`] on.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) environment: Environment,
    /// Where it writes its counts. Each time, a number is added to the name.
    file: PathBuf,
    written: u32,
}

/// Starts the function under callgrind, which counts nothing yet: it is faster then.
///
/// # Errors
/// If it does not start.
pub(super) async fn start(function: &Subject) -> Result<Counter> {
    let folder = build::folder().join("callgrind");
    // Counts of an earlier run would be taken for ours.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let file = folder.join(&function.binary);
    let mut arguments = vec![
        "--tool=callgrind".into(),
        "--instr-atstart=no".into(),
        format!("--callgrind-out-file={}", file.display()).into(),
        function.program.clone().into_os_string(),
    ];
    arguments.extend(function.arguments.clone());
    let counted = Subject {
        binary: function.binary.clone(),
        program: "valgrind".into(),
        arguments,
        settings: function.settings.clone(),
    };
    let (environment, _) = Environment::start(&counted)
        .await
        .context("valgrind cannot run the function: see its log in target/bench/logs")?;
    Ok(Counter {
        environment,
        file,
        written: 0,
    })
}

impl Counter {
    /// Begins to count.
    ///
    /// # Errors
    /// If callgrind does not listen.
    pub(super) fn begin(&self) -> Result<()> {
        self.control(["--instr=on"])
    }

    /// The number of instructions since this was asked before, or since counting began.
    ///
    /// # Errors
    /// If callgrind does not write it.
    pub(super) fn since_last(&mut self) -> Result<u64> {
        self.control(["--dump"])?;
        self.written += 1;
        let file = self.file.with_added_extension(self.written.to_string());
        let written = fs::read_to_string(&file)
            .with_context(|| format!("callgrind has not written {}", file.display()))?;
        total(&written).with_context(|| format!("{} has no total", file.display()))
    }

    fn control<const N: usize>(&self, what: [&str; N]) -> Result<()> {
        let output = Command::new("callgrind_control")
            .args(what)
            .arg(self.environment.id().to_string())
            .output()
            .context("cannot run callgrind_control, which is a part of valgrind")?;
        let said = String::from_utf8_lossy(&output.stdout);
        // It is content with an error, too.
        ensure!(
            output.status.success() && said.contains("OK."),
            "callgrind does not listen: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

/// The total in what callgrind writes
/// (<https://valgrind.org/docs/manual/cl-format.html>).
fn total(written: &str) -> Option<u64> {
    let mut lines = written.lines();
    let total = lines.find_map(|line| line.strip_prefix("totals:"))?;
    total.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_that_of_the_instructions() {
        let written =
            "# callgrind format\nevents: Ir\nsummary: 5\n\nfn=(1) totals\n0 7\n\ntotals: 1256\n";
        assert_eq!(total(written), Some(1256));
        assert_eq!(total("events: Ir Dr\ntotals: 1256 99\n"), Some(1256));
        assert_eq!(total("events: Ir\nfn=(1) main\n"), None);
    }

    #[test]
    fn a_group_in_which_something_else_happened_does_not_move_the_median() {
        let counted = Counted::of(vec![101, 5000, 100, 99, 100]).unwrap();
        let expected = Counted {
            lowest: 99,
            median: 100,
            highest: 5000,
        };
        assert_eq!(counted, expected);
        assert_eq!(Counted::of(Vec::new()), None);
    }
}

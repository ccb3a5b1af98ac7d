//! Running a program that does a step of the work, such as pip, cargo or sam: what it
//! says goes to a log file, its last line to the screen, and it ends when we do.

use std::ffi::OsStr;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::files;
use crate::progress::Step;

const POLL: Duration = Duration::from_millis(25);
const LOOK_AT_LOG: Duration = Duration::from_millis(400);
const LINES_OF_EXCERPT: usize = 15;
/// Messages that point to an outside cause, and how to name that cause.
const KNOWN_CAUSES: [(&str, &str); 10] = [
    ("No space left on device", "the disk is full"),
    // pip and jgo
    ("NewConnectionError", UNREACHABLE),
    ("NameResolutionError", UNREACHABLE),
    ("ConnectTimeout", UNREACHABLE),
    // uv
    ("error sending request for url", UNREACHABLE),
    // cargo
    ("Could not resolve host", UNREACHABLE),
    ("Could not connect to server", UNREACHABLE),
    ("Couldn't resolve host", UNREACHABLE),
    // npm
    ("ENOTFOUND", UNREACHABLE),
    ("EAI_AGAIN", UNREACHABLE),
];
const UNREACHABLE: &str = "the package registry cannot be reached";

/// Runs the programs of one step, all with the same log.
pub struct Tool<'a> {
    step: &'a Step<'a>,
    log: PathBuf,
}

/// Something that went wrong and is told about in a log file.
#[derive(Debug)]
pub struct LoggedFailure {
    reason: String,
    log: PathBuf,
    excerpt: Vec<String>,
}

impl LoggedFailure {
    /// Takes the last lines of the log along.
    #[must_use]
    pub fn new(reason: impl Into<String>, log: &Path) -> Self {
        let mut reason: String = reason.into();
        let excerpt = excerpt(log);
        let known = KNOWN_CAUSES
            .into_iter()
            .find(|(words, _)| excerpt.iter().any(|line| line.contains(words)));
        if let Some((_, cause)) = known {
            reason = format!("{reason}: {cause}");
        }
        Self {
            reason,
            log: log.to_path_buf(),
            excerpt,
        }
    }
}

/// The last lines, but for those in which cargo shows how far it is.
fn excerpt(log: &Path) -> Vec<String> {
    let mut lines = last_lines(log, usize::MAX);
    lines.retain(|line| !line.trim_start().starts_with("Building ["));
    lines.split_off(lines.len().saturating_sub(LINES_OF_EXCERPT))
}

impl fmt::Display for LoggedFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.reason)?;
        for line in &self.excerpt {
            writeln!(formatter, "  | {line}")?;
        }
        write!(formatter, "log file: {}", self.log.display())
    }
}

impl std::error::Error for LoggedFailure {}

impl<'a> Tool<'a> {
    /// Starts the log anew.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn new(step: &'a Step<'a>, log: &Path) -> Result<Self> {
        files::create_folder(log.parent().unwrap_or(Path::new(".")))?;
        files::private(log).with_context(|| format!("cannot write {}", log.display()))?;
        Ok(Self {
            step,
            log: log.to_path_buf(),
        })
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// If it cannot be started or fails, with the last lines of the log; or if the run
    /// was cancelled, in which case the program has been stopped with all its children.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        let output = self.open_log(command)?;
        command.stdout(output.try_clone()?).stderr(output);
        self.wait(command)
    }

    /// Runs a program to its end and returns what it wrote to the standard output.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub fn capture(&self, command: &mut Command) -> Result<String> {
        let log = self.open_log(command)?;
        // A file rather than a pipe: nobody reads while the program runs.
        let answer = self.log.with_extension("answer");
        command.stdout(files::private(&answer)?).stderr(log);
        let text = self
            .wait(command)
            .and_then(|()| fs::read_to_string(&answer).context("the program's answer is not text"));
        files::remove(&answer)?;
        text
    }

    /// A failure of this step that the log tells more about.
    #[must_use]
    pub fn failure(&self, reason: impl Into<String>) -> LoggedFailure {
        LoggedFailure::new(reason, &self.log)
    }

    /// Adds a line to the log.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn note(&self, line: &str) -> Result<()> {
        Ok(writeln!(self.append()?, "{line}")?)
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn append(&self) -> Result<fs::File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))
    }

    /// The log begins each program with its name only: arguments may be secret.
    fn open_log(&self, command: &Command) -> Result<fs::File> {
        let mut log = self.append()?;
        writeln!(log, "--- {}", program_name(command))?;
        Ok(log)
    }

    fn wait(&self, command: &mut Command) -> Result<()> {
        self.step.check()?;
        let name = program_name(command);
        let mut child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("cannot run {}", Path::new(command.get_program()).display())
            })?;
        let mut looked = Instant::now();
        loop {
            if has_ended(&child) {
                self.step.spent(processor_time(child.id()));
                let status = child.wait()?;
                return if status.success() {
                    Ok(())
                } else {
                    Err(self.failure(format!("{name} failed ({status})")).into())
                };
            }
            if let Err(cancelled) = self.step.check() {
                end(&mut child);
                return Err(cancelled.into());
            }
            if looked.elapsed() >= LOOK_AT_LOG {
                looked = Instant::now();
                if let Some(line) = last_lines(&self.log, 5)
                    .into_iter()
                    .rfind(|line| says_something(line))
                {
                    self.step.doing(line);
                }
            }
            thread::sleep(POLL);
        }
    }
}

/// Whether a line is of use to whoever waits: no frame of a table, and not the rest of a cell, which is
/// below the cell's first line.
fn says_something(line: &str) -> bool {
    line.contains(char::is_alphanumeric) && !line.starts_with("        ")
}

/// Whether the program has ended. The system still knows what it has used, until we wait for it.
fn has_ended(child: &Child) -> bool {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), look), Ok(None))
}

/// What a program and those that it has run have used, where the system tells (proc(5)).
fn processor_time(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before that may have anything in it.
    let numbers = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u64 = numbers
        .split(' ')
        .skip(11)
        .take(4)
        .filter_map(|number| number.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

/// The last lines of a text file that say something, without escape sequences.
#[must_use]
pub fn last_lines(path: &Path, count: usize) -> Vec<String> {
    const ENOUGH: u64 = 16 * 1024;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(ENOUGH)))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        Ok(content)
    };
    let content = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let mut lines: Vec<String> = text
        .split(['\n', '\r'])
        .rev()
        .map(|line| console::strip_ansi_codes(line).trim_end().to_owned())
        .filter(|line| !line.trim().is_empty())
        .take(count)
        .collect();
    lines.reverse();
    lines
}

/// Stops a program and all that it has started.
fn end(child: &mut Child) {
    let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else {
        return;
    };
    let _ = kill_process_group(group, Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(5);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        thread::sleep(POLL);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

fn program_name(command: &Command) -> String {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or(OsStr::new("program"))
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::{Cancellation, Cancelled};
    use crate::progress::Progress;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn progress_is_no_part_of_a_table() {
        assert!(says_something("   Compiling rustls v0.23.36"));
        assert!(says_something(
            "CREATE_IN_PROGRESS   AWS::Lambda::EventSourceMapping   Events   -"
        ));
        assert!(!says_something("                     tion"));
        assert!(!says_something("-----------------   ------"));
    }

    #[test]
    fn a_failure_shows_the_reason_the_last_lines_and_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("install.log");
        let error = Progress::new(Cancellation::default())
            .step("install", |step| {
                Tool::new(step, &log)?.run(&mut shell("echo the disk is full; exit 3"))
            })
            .unwrap_err()
            .to_string();
        for part in ["sh failed", "3", "the disk is full", "install.log"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_failure_of_cargo_shows_its_errors_and_not_its_progress() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("build.log");
        let progress = "    Building [=>   ] 4/40: serde\r".repeat(40);
        fs::write(&log, format!("error: expected `;`\n{progress}")).unwrap();
        let shown = LoggedFailure::new("cargo failed", &log).to_string();
        assert!(shown.contains("expected `;`"), "{shown}");
        assert!(!shown.contains("Building"), "{shown}");
    }

    #[test]
    fn a_cause_outside_is_named_at_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("install.log");
        for (said, beginning) in [
            (
                "cause: failed to write x: No space left on device (os error 28)",
                "uv failed: the disk is full\n",
            ),
            (
                "[6] Could not resolve hostname (Could not resolve host: index.example)",
                "uv failed: the package registry cannot be reached\n",
            ),
            ("error: no matching package", "uv failed\n"),
        ] {
            fs::write(&log, said).unwrap();
            let shown = LoggedFailure::new("uv failed", &log).to_string();
            assert!(shown.starts_with(beginning), "{shown}");
        }
    }

    #[test]
    fn what_programs_cost_is_added_up_with_their_children() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("work.log");
        let progress = Progress::new(Cancellation::default());
        let busy = "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; true";
        progress
            .step("work", |step| Tool::new(step, &log)?.run(&mut shell(busy)))
            .unwrap();
        assert!(!progress.finished()[0].processor.is_zero());
    }

    #[test]
    fn what_a_program_answers_is_kept_apart_from_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("ask.log");
        let answer = Progress::new(Cancellation::default())
            .step("ask", |step| {
                Tool::new(step, &log)?.capture(&mut shell("echo answer; echo remark >&2"))
            })
            .unwrap();
        assert_eq!(answer, "answer\n");
        assert!(last_lines(&log, 5).contains(&"remark".to_owned()));
    }

    #[test]
    fn a_cancelled_program_ends_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("long.log");
        let cancellation = Cancellation::default();
        let progress = Progress::new(cancellation.clone());
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while last_lines(&log, 1)
                    .first()
                    .is_none_or(|line| line.parse::<u32>().is_err())
                {
                    thread::yield_now();
                }
                cancellation.abandon();
            });
            progress.step("long", |step| {
                Tool::new(step, &log)?.run(&mut shell("sleep 600 & echo $!; wait"))
            })
        });
        assert!(result.unwrap_err().is::<Cancelled>());
        let child: u32 = last_lines(&log, 1)[0].parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while crate::identity::Identity::of(child).is_some() && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(crate::identity::Identity::of(child), None);
    }
}

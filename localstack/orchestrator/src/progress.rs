//! One line per step, so that a person always knows what is going on and since when.

use std::fmt::{self, Display};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use console::{Emoji, Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cancellation::{Cancellation, Cancelled};
use crate::durations::{Durations, Finished};

/// How often a long step says that it is still alive where there is no terminal to
/// draw a spinner on.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

static DONE: Emoji<'_, '_> = Emoji("✓", "ok");
static FAILED: Emoji<'_, '_> = Emoji("✗", "failed");

/// Shows the steps of one command on the standard error output.
pub struct Progress {
    bars: MultiProgress,
    terminal: Term,
    attended: bool,
    silent: bool,
    cancellation: Cancellation,
    usual: Durations,
    finished: Mutex<Vec<Finished>>,
}

/// A step that is being done.
pub struct Step<'a> {
    progress: &'a Progress,
    title: String,
    bar: Option<ProgressBar>,
    started: Instant,
    state: Mutex<State>,
}

/// A failure that the person has already been told about.
#[derive(Debug)]
pub struct Shown(String);

impl Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Shown {}

struct State {
    doing: String,
    result: String,
    last_sign: Instant,
    processor: Duration,
}

impl Progress {
    /// Steps that fail cancel the other steps of the same run.
    #[must_use]
    pub fn new(cancellation: Cancellation) -> Self {
        Self {
            bars: MultiProgress::new(),
            terminal: Term::stderr(),
            attended: console::user_attended_stderr(),
            silent: false,
            cancellation,
            usual: Durations::default(),
            finished: Mutex::default(),
        }
    }

    /// Shows nothing, and a failure of it cancels nothing: for what nobody waits for. It ends
    /// with what it is cancelled by.
    #[must_use]
    pub fn silent(cancellation: Cancellation) -> Self {
        Self {
            silent: true,
            attended: false,
            ..Self::new(cancellation)
        }
    }

    /// Steps also say how long they took the last time.
    #[must_use]
    pub fn expecting(self, usual: Durations) -> Self {
        Self { usual, ..self }
    }

    /// What has been done so far.
    #[must_use]
    pub fn finished(&self) -> Vec<Finished> {
        lock(&self.finished).clone()
    }

    /// What to ask before going on.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Does one step and says how it went. Steps may run at the same time on several
    /// threads.
    ///
    /// # Errors
    /// [`Cancelled`] if the work was, otherwise [`Shown`].
    pub fn step<T>(&self, title: &str, work: impl FnOnce(&Step<'_>) -> Result<T>) -> Result<T> {
        self.cancellation.check()?;
        let step = Step::new(self, title);
        let result = work(&step);
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
            self.bars.remove(bar);
        }
        let took = step.started.elapsed();
        let elapsed = seconds(took);
        match result {
            Ok(value) => {
                let (detail, processor) = {
                    let state = step.lock();
                    (state.result.clone(), state.processor)
                };
                lock(&self.finished).push(Finished {
                    title: title.to_owned(),
                    wall: took,
                    processor,
                });
                self.line(format!(
                    "{} {title:<28} {elapsed:>8}  {}",
                    style(DONE).green().for_stderr(),
                    style(detail).dim().for_stderr()
                ));
                Ok(value)
            }
            Err(error) if error.is::<Cancelled>() => {
                self.line(format!("- {title:<28} {elapsed:>8}  {error}"));
                Err(error)
            }
            Err(error) => {
                if !self.silent {
                    self.cancellation.abandon();
                }
                let reason = format!("{error:#}");
                self.line(format!(
                    "{} {title:<28} {elapsed:>8}\n  {}",
                    style(FAILED).red().bold().for_stderr(),
                    reason.replace('\n', "\n  ")
                ));
                Err(Shown(reason).into())
            }
        }
    }

    /// Shows a line above the steps that are being done.
    pub fn line(&self, text: impl Display) {
        if self.silent {
            return;
        }
        let text = text.to_string();
        // Where nobody can be told, there is nobody to tell that.
        let _ = if self.attended {
            self.bars.println(text)
        } else {
            self.terminal.write_line(&text)
        };
    }
}

impl<'a> Step<'a> {
    fn new(progress: &'a Progress, title: &str) -> Self {
        let bar = progress.attended.then(|| {
            let bar = progress.bars.add(ProgressBar::new_spinner());
            bar.set_style(
                ProgressStyle::with_template("{spinner} {prefix:28} {elapsed:>8}  {wide_msg:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.set_prefix(title.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            progress,
            title: title.to_owned(),
            bar,
            started: Instant::now(),
            state: Mutex::new(State {
                doing: String::new(),
                result: String::new(),
                last_sign: Instant::now(),
                processor: Duration::ZERO,
            }),
        }
    }

    /// Says what is being done right now.
    pub fn doing(&self, what: impl Into<String>) {
        let what = what.into();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}{what}", self.estimate()));
        }
        self.lock().doing = what;
    }

    /// Adds what a program has cost that worked for this step.
    pub fn spent(&self, processor: Duration) {
        self.lock().processor += processor;
    }

    /// What to expect, if that is known.
    fn estimate(&self) -> String {
        self.progress
            .usual
            .of(&self.title)
            .map(|usual| format!("({} last time)  ", seconds(usual)))
            .unwrap_or_default()
    }

    /// Says something that is worth a line of its own, at once and to stay.
    pub fn announce(&self, what: &str) {
        self.progress.line(format!("  {}: {what}", self.title));
    }

    /// What the line of the finished step says behind its time.
    pub fn result(&self, result: impl Into<String>) {
        self.lock().result = result.into();
    }

    /// To be called again and again while waiting: lets the user end it, and breaks
    /// the silence.
    ///
    /// # Errors
    /// [`Cancelled`] as soon as there is a reason not to go on.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.bar.is_none() {
            let mut state = self.lock();
            if state.last_sign.elapsed() >= SIGN_OF_LIFE {
                state.last_sign = Instant::now();
                let line = format!(
                    "… {:<28} {:>8}  {}{}",
                    self.title,
                    seconds(self.started.elapsed()),
                    self.estimate(),
                    console::truncate_str(&state.doing, 80, "…")
                );
                drop(state);
                self.progress.line(line);
            }
        }
        self.progress.cancellation.check()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn seconds(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f32();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{}:{:02} min",
            elapsed.as_secs() / 60,
            elapsed.as_secs() % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_failed_step_cancels_the_rest() {
        let progress = Progress::new(Cancellation::default());
        let failed: Result<()> = progress.step("one", |_| bail!("no disk"));
        assert!(failed.is_err());
        let next = progress.step("two", |_| Ok(()));
        assert!(next.unwrap_err().is::<Cancelled>());
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(seconds(Duration::from_millis(940)), "0.9 s");
        assert_eq!(seconds(Duration::from_secs(671)), "11:11 min");
    }
}

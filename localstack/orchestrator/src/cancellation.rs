//! Stopping early: on Ctrl-C, or because another step of the same run has failed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Asked by everything that waits. Cloning shares the same state.
#[derive(Clone, Debug, Default)]
pub struct Cancellation {
    interrupted: Arc<AtomicBool>,
    abandoned: Arc<AtomicBool>,
}

/// The reason why a step ended although nothing was wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The user or the system asked this command to end.
    Interrupted,
    /// Another step has failed, so that this one is of no use any more.
    Abandoned,
}

impl Cancellation {
    /// From now on SIGINT, SIGTERM and SIGHUP interrupt instead of ending the program,
    /// so that it can stop what it has started.
    ///
    /// # Errors
    /// If the system refuses to register a signal handler.
    pub fn on_signals() -> io::Result<Self> {
        let cancellation = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&cancellation.interrupted))?;
        }
        Ok(cancellation)
    }

    /// Tells the other steps of this run that they need not go on.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Cancelled`] as soon as there is a reason to end.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.interrupted.load(Ordering::Relaxed) {
            Err(Cancelled::Interrupted)
        } else if self.abandoned.load(Ordering::Relaxed) {
            Err(Cancelled::Abandoned)
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Interrupted => "interrupted",
            Self::Abandoned => "not finished, because another step failed",
        })
    }
}

impl std::error::Error for Cancelled {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_cancelled_at_first() {
        assert_eq!(Cancellation::default().check(), Ok(()));
    }

    #[test]
    fn a_failed_step_ends_the_others() {
        let cancellation = Cancellation::default();
        cancellation.clone().abandon();
        assert_eq!(cancellation.check(), Err(Cancelled::Abandoned));
    }

    #[test]
    fn an_interruption_is_told_from_a_failure() {
        let cancellation = Cancellation::default();
        cancellation.abandon();
        cancellation.interrupted.store(true, Ordering::Relaxed);
        assert_eq!(cancellation.check(), Err(Cancelled::Interrupted));
    }
}

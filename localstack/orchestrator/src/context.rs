//! What every part of a run needs.

use crate::processes::Supervisor;
use crate::progress::Progress;
use crate::settings::Settings;

/// The settings of one run, what it does in the background, and what it shows.
pub struct Context {
    /// What was set from outside.
    pub settings: Settings,
    /// The background processes.
    pub supervisor: Supervisor,
    /// What is shown.
    pub progress: Progress,
}

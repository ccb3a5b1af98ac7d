//! Has an export begun at once, and not only when its time comes.

use next_run::NextRun;
use store::MissingSetting;

/// Starts a run of `run-exports`.
#[derive(Debug)]
pub struct NextExport(Option<NextRun>);

store::from_environment!(NextExport);

impl NextExport {
    /// With the queue in `RUN_EXPORTS_QUEUE_URL`.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self(Some(NextRun::from_env("RUN_EXPORTS_QUEUE_URL")?)))
    }

    /// Leaves every export to the schedule.
    #[must_use]
    pub const fn on_schedule() -> Self {
        Self(None)
    }

    /// Starts a run. If the queue does not take it, the schedule will.
    pub(crate) async fn begin(&self) {
        if let Some(next) = &self.0 {
            next.begin_with("Somebody wants an export.").await;
        }
    }
}

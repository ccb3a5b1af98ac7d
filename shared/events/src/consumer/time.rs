//! How long an invocation may go on.

use std::{cell::Cell, rc::Rc, time::SystemTime};

/// Until when records are started. The first is started whatever the time is; otherwise nothing might
/// ever be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Time {
    stop: Option<SystemTime>,
    has_started: Rc<Cell<bool>>,
}

impl Time {
    /// Until then; without an end if there is none.
    pub(crate) fn until(stop: Option<SystemTime>) -> Self {
        Self {
            stop,
            has_started: Rc::default(),
        }
    }

    /// Whether something more may be started, which then counts as started.
    pub(crate) fn allows_more(&self) -> bool {
        let is_first = !self.has_started.replace(true);
        is_first || self.stop.is_none_or(|stop| SystemTime::now() < stop)
    }
}

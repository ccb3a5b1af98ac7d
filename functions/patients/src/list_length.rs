//! Whether the list of patients is known to be longer than anybody counts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For how long the list is taken to be as long as it was. Counting to a thousand is a third of what
/// PostgreSQL does for a page.
const KNOWN_FOR: Duration = Duration::from_mins(1);

/// When more patients were seen than are counted: once for those who see restricted patients, and once
/// for those who do not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Many(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    with_restricted: Option<Instant>,
    without: Option<Instant>,
}

impl Seen {
    const fn of(&mut self, with_restricted: bool) -> &mut Option<Instant> {
        if with_restricted {
            &mut self.with_restricted
        } else {
            &mut self.without
        }
    }
}

impl Many {
    /// Whether there were too many to count a moment ago.
    pub(crate) fn are_known(&self, with_restricted: bool) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.of(with_restricted);
        seen.is_some_and(|at| at.elapsed() < KNOWN_FOR)
    }

    /// There are too many to count.
    pub(crate) fn were_seen(&self, with_restricted: bool) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.of(with_restricted) = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sees_fewer_patients_has_them_counted_for_themselves() {
        let many = Many::default();
        many.were_seen(true);
        assert!(many.are_known(true));
        assert!(!many.are_known(false));
    }

    #[test]
    fn the_list_is_counted_again_after_a_while() {
        let many = Many::default();
        many.were_seen(false);
        // None on a machine that has not been up for so long.
        *many.0.lock().unwrap().of(false) = Instant::now().checked_sub(KNOWN_FOR);
        assert!(!many.are_known(false));
    }
}

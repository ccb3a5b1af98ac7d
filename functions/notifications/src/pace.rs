//! How fast messages are sent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use store::setting;
use tokio::time::{Instant, sleep_until};

/// How many messages a second all environments of the function send together, where nothing else is
/// said: below the 14 that SES takes from a new account, because others send as well.
const PER_SECOND: f64 = 10.0;

/// How many environments send at the same time, at most: one for each partition of the topic.
const ENVIRONMENTS: f64 = 6.0;

/// The most messages that are on their way at the same time.
const MOST_AT_A_TIME: usize = 16;

/// How long a message should wait for its turn at most: it is sent and recorded within the rest of
/// the time that a function has for what it has started.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Gives out turns at regular intervals. SES refuses what is sent faster than its quota allows.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Mutex<Instant>,
}

/// The setting is not a rate.
#[derive(Debug, thiserror::Error)]
#[error("WELCOMES_PER_SECOND is not a number above 0 and up to 10000")]
pub struct NotARate;

impl Pace {
    /// The share of this environment in `WELCOMES_PER_SECOND`.
    ///
    /// # Errors
    /// If that is not a rate.
    pub fn from_env() -> Result<Self, NotARate> {
        let all = match setting("WELCOMES_PER_SECOND") {
            Ok(text) => text.parse().map_err(|_| NotARate)?,
            Err(_) => PER_SECOND,
        };
        if all > 0.0 && all <= 10_000.0 {
            Ok(Self::of(all / ENVIRONMENTS))
        } else {
            Err(NotARate)
        }
    }

    /// So many turns a second.
    #[must_use]
    pub fn of(per_second: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / per_second),
            next: Mutex::new(Instant::now()),
        }
    }

    /// How many messages should be on their way at the same time: no more than have their turn soon,
    /// because those that wait for one have been started, and have to end in time.
    #[must_use]
    pub fn at_a_time(&self) -> usize {
        let turns = LONGEST_WAIT.as_nanos() / self.interval.as_nanos().max(1);
        usize::try_from(turns).map_or(MOST_AT_A_TIME, |turns| turns.clamp(1, MOST_AT_A_TIME))
    }

    /// Waits for the next turn.
    pub async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_regular_intervals() {
        let pace = Pace::of(4.0);
        let started = Instant::now();
        join_all((0..9).map(|_| pace.turn())).await;
        assert_eq!(started.elapsed().as_millis() / 10, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_that_nobody_took_are_not_made_up_for() {
        let pace = Pace::of(4.0);
        tokio::time::sleep(Duration::from_mins(1)).await;
        let started = Instant::now();
        join_all((0..5).map(|_| pace.turn())).await;
        assert_eq!(started.elapsed().as_millis() / 10, 100);
    }

    #[test]
    fn no_more_wait_for_a_turn_than_have_it_soon() {
        let at_a_time = [0.01, 0.3, 1.0, 1000.0].map(|rate| Pace::of(rate).at_a_time());
        assert_eq!(at_a_time, [1, 3, 10, MOST_AT_A_TIME]);
    }
}

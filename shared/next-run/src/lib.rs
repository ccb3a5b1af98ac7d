//! Lets a function that works through a backlog stop in time and continue in another run: with a
//! message to a queue of its own, which triggers it.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_sqs::Client;
use lambda_runtime::Context;
use store::{MissingSetting, aws_config, failure_code, setting};

/// When a run stops starting new work: `reserve` before Lambda ends it, so that work in progress
/// can finish.
#[must_use]
pub fn end_of_run(context: &Context, reserve: Duration) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now());
    Instant::now() + left.unwrap_or_default().saturating_sub(reserve)
}

/// The queue whose messages trigger the function.
#[derive(Debug)]
pub struct NextRun {
    url: String,
}

impl NextRun {
    /// The queue whose URL is in this setting. Nothing is connected yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env(name: &'static str) -> Result<Self, MissingSetting> {
        let url = setting(name)?;
        Ok(Self { url })
    }

    /// Starts another run. If the queue does not accept the message, the schedule will.
    pub async fn begin(&self) {
        self.begin_with("The run before had no time for the rest.")
            .await;
    }

    /// Starts another run with this message. Returns whether the queue has accepted it.
    pub async fn begin_with(&self, told: &str) -> bool {
        let client = Client::new(aws_config().await);
        let message = client
            .send_message()
            .queue_url(&self.url)
            .message_body(told);
        match message.send().await {
            Ok(_) => true,
            Err(error) => {
                let cause = failure_code(&error);
                tracing::warn!(cause, "the rest is left to the next scheduled run");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_seconds(seconds: u64) -> Context {
        let deadline = SystemTime::now() + Duration::from_secs(seconds);
        let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let mut context = Context::default();
        context.deadline = u64::try_from(deadline.as_millis()).unwrap();
        context
    }

    #[test]
    fn a_run_stops_before_lambda_ends_it() {
        let left = |seconds, reserve| {
            let end = end_of_run(&in_seconds(seconds), Duration::from_secs(reserve));
            end.saturating_duration_since(Instant::now()).as_secs_f64()
        };
        assert!((43.0..=45.0).contains(&left(60, 15)));
        assert!(left(10, 15) <= 0.0);
        assert!(left(0, 15) <= 0.0);
    }
}

//! How a function that works off what waits ends in time, and has its next run begin at once:
//! with a message to a queue of its own, whose messages start it.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_sqs::Client;
use lambda_runtime::Context;
use store::{MissingSetting, aws_config, failure_code, setting};

/// When a run begins nothing more: so long before Lambda ends it that what it has begun comes
/// to its end.
#[must_use]
pub fn end_of_run(context: &Context, reserve: Duration) -> Instant {
    let left = context.deadline().duration_since(SystemTime::now());
    Instant::now() + left.unwrap_or_default().saturating_sub(reserve)
}

/// The queue whose messages start the function.
#[derive(Debug)]
pub struct NextRun {
    url: String,
}

impl NextRun {
    /// The queue whose URL this setting holds. Nothing is connected yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env(name: &'static str) -> Result<Self, MissingSetting> {
        let url = setting(name)?;
        Ok(Self { url })
    }

    /// Has another run begin. If the queue does not take the message, the schedule has one
    /// begin.
    pub async fn begin(&self) {
        self.begin_with("The run before had no time for the rest.")
            .await;
    }

    /// Has another run begin that is told this. Answers whether the queue has taken it.
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
                tracing::warn!(cause, "the rest waits for the schedule");
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
    fn a_run_ends_before_lambda_ends_it() {
        let left = |seconds, reserve| {
            let end = end_of_run(&in_seconds(seconds), Duration::from_secs(reserve));
            end.saturating_duration_since(Instant::now()).as_secs_f64()
        };
        assert!((43.0..=45.0).contains(&left(60, 15)));
        assert!(left(10, 15) <= 0.0);
        assert!(left(0, 15) <= 0.0);
    }
}

//! How a run of the relay that does not come to an end has the next one begin at once.

use aws_sdk_sqs::Client;
use store::{MissingSetting, aws_config, failure_code, setting};

/// The queue whose messages start the relay. `RELAY_OUTBOX_QUEUE_URL` says which.
#[derive(Debug)]
pub struct RelayQueue {
    url: String,
}

impl RelayQueue {
    /// The queue of the deployment. Nothing is connected yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        let url = setting("RELAY_OUTBOX_QUEUE_URL")?;
        Ok(Self { url })
    }

    /// Has another run begin. If the queue does not take the message, the schedule has one
    /// begin within a minute.
    pub async fn begin_another_run(&self) {
        let client = Client::new(aws_config().await);
        let message = client
            .send_message()
            .queue_url(&self.url)
            .message_body("The run before had no time for the rest.");
        if let Err(error) = message.send().await {
            let cause = failure_code(&error);
            tracing::warn!(cause, "the rest waits for the schedule");
        }
    }
}

//! Where a record goes that cannot be decoded: an SQS queue, with the reason, while its
//! neighbours go on.

use aws_sdk_sqs::Client;
use serde::{Deserialize, Serialize};

/// A record that was put aside, with what is needed to find out why and to send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Which consumer could not read it.
    pub consumer: String,
    /// Where it stands on Kafka.
    pub topic: String,
    /// Where it stands on Kafka.
    pub partition: i64,
    /// Where it stands on Kafka.
    pub offset: i64,
    /// Why it could not be read.
    pub reason: String,
    /// The record's key, in base64.
    pub key: Option<String>,
    /// The record's value, in base64.
    pub value: Option<String>,
}

/// The queue. `DEAD_LETTER_QUEUE_URL` says which.
#[derive(Debug)]
pub struct DeadLetterQueue {
    url: String,
    client: Client,
}

impl DeadLetterQueue {
    /// A queue at this URL.
    #[must_use]
    pub const fn new(client: Client, url: String) -> Self {
        Self { url, client }
    }

    /// Puts a record aside.
    ///
    /// # Errors
    /// If the queue did not take it: then it must not count as handled.
    pub async fn send(&self, letter: &DeadLetter) -> Result<(), lambda_runtime::Error> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(letter)?)
            .send()
            .await?;
        Ok(())
    }
}

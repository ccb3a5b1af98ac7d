//! Where undecodable records go: an SQS queue, with the reason, while the records around them are
//! processed. From there, they can be put back on their topic.

use std::{fmt::Write as _, time::Duration};

use aws_lambda_events::kafka::KafkaRecord;
use aws_sdk_sqs::{Client, types::Message};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_runtime::Error;
use serde::{Deserialize, Serialize};

use crate::Undecodable;

/// The largest message of the queue, in bytes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
/// SQS now allows more, but a queue created earlier does not.
const LARGEST_MESSAGE: usize = 256 * 1024;

/// The largest number of messages that one call returns.
const MESSAGES_PER_CALL: i32 = 10;

/// How long a call waits for messages, in seconds. Only a call that waits queries all servers of
/// the queue.
const WAIT: i32 = 1;

/// A record that was set aside, with what is needed to find out why and to send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The consumer that could not read it.
    pub consumer: String,
    /// Its topic on Kafka.
    pub topic: String,
    /// Its partition on Kafka.
    pub partition: i64,
    /// Its offset on Kafka.
    pub offset: i64,
    /// Why it could not be read.
    pub reason: String,
    /// Whether the record is too large for the queue. Then key, value and headers are missing here:
    /// they are on Kafka for as long as it keeps the record.
    pub too_large: bool,
    /// The record's key, in base64.
    pub key: Option<String>,
    /// The record's value, in base64.
    pub value: Option<String>,
    /// The record's headers in order.
    pub headers: Vec<Header>,
}

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value, in base64.
    pub value: String,
}

impl DeadLetter {
    pub(crate) fn of(record: &KafkaRecord, consumer: &str, reason: Undecodable) -> Self {
        let headers = record.headers.iter().flatten();
        Self {
            consumer: consumer.to_owned(),
            topic: record.topic.clone().unwrap_or_default(),
            partition: record.partition,
            offset: record.offset,
            reason: reason.to_string(),
            too_large: false,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: headers
                .map(|(name, value)| {
                    let value: Vec<u8> = value.iter().map(|byte| byte.cast_unsigned()).collect();
                    Header {
                        name: name.clone(),
                        value: STANDARD.encode(value),
                    }
                })
                .collect(),
        }
    }

    /// As a message that the queue accepts.
    fn into_message(self) -> Result<String, serde_json::Error> {
        let message = ascii(&serde_json::to_string(&self)?);
        if message.len() <= LARGEST_MESSAGE {
            return Ok(message);
        }
        serde_json::to_string(&Self {
            too_large: true,
            key: None,
            value: None,
            headers: Vec::new(),
            ..self
        })
        .map(|message| ascii(&message))
    }
}

/// SQS rejects some characters, which a header's name may contain; in JSON, each can be escaped.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// A message received from the queue. It becomes visible again unless it is deleted in time.
#[derive(Debug)]
pub struct Taken {
    /// The SQS message id.
    pub id: String,
    body: String,
    receipt: String,
}

impl Taken {
    /// The letter in it.
    ///
    /// # Errors
    /// If it does not contain a letter.
    pub fn letter(&self) -> Result<DeadLetter, serde_json::Error> {
        serde_json::from_str(&self.body)
    }

    /// The size of the body, in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.body.len()
    }
}

impl From<Message> for Taken {
    fn from(message: Message) -> Self {
        Self {
            id: message.message_id.unwrap_or_default(),
            body: message.body.unwrap_or_default(),
            receipt: message.receipt_handle.unwrap_or_default(),
        }
    }
}

/// The dead-letter queue, at `DEAD_LETTER_QUEUE_URL`.
#[derive(Debug)]
pub struct DeadLetterQueue {
    url: String,
    client: Client,
}

impl DeadLetterQueue {
    /// The queue at this URL.
    #[must_use]
    pub const fn new(client: Client, url: String) -> Self {
        Self { url, client }
    }

    /// Sets a record aside.
    ///
    /// # Errors
    /// If the queue did not accept it: then it must not count as handled.
    pub async fn send(&self, letter: DeadLetter) -> Result<(), Error> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(letter.into_message()?)
            .send()
            .await?;
        Ok(())
    }

    /// Receives some messages, and hides them from others for this long. Empty if there are none.
    ///
    /// # Errors
    /// If the queue does not respond.
    pub async fn take(&self, hidden: Duration) -> Result<Vec<Taken>, Error> {
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(MESSAGES_PER_CALL)
            .wait_time_seconds(WAIT)
            .visibility_timeout(i32::try_from(hidden.as_secs())?)
            .send()
            .await?;
        let messages = answer.messages.unwrap_or_default();
        Ok(messages.into_iter().map(Taken::from).collect())
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// If the queue does not respond: then the message may be received again.
    pub async fn delete(&self, taken: &Taken) -> Result<(), Error> {
        let delete = self.client.delete_message().queue_url(&self.url);
        delete.receipt_handle(&taken.receipt).send().await?;
        Ok(())
    }

    /// Makes a received message visible again at once.
    ///
    /// # Errors
    /// If the queue does not respond: then it becomes visible when its time is over.
    pub async fn put_back(&self, taken: &Taken) -> Result<(), Error> {
        let change = self.client.change_message_visibility().queue_url(&self.url);
        change
            .receipt_handle(&taken.receipt)
            .visibility_timeout(0)
            .send()
            .await?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(record: &serde_json::Value) -> DeadLetter {
        let record: KafkaRecord = serde_json::from_value(record.clone()).unwrap();
        DeadLetter::of(&record, "test", Undecodable("not protobuf"))
    }

    #[test]
    fn a_letter_survives_the_queue() {
        let letter = letter(&json!({
            "topic": "patient.events.v1", "partition": 3, "offset": 7, "timestamp": 0,
            "key": "AA==", "value": "/w==",
            "headers": [{ "odd \u{0} 🩺\u{ffff}\"\\": [-1, 0, 127] }, { "twice": [] }, { "twice": [1] }],
        }));
        let message = letter.clone().into_message().unwrap();
        let refused = |character: char| !matches!(character, ' '..='~');
        assert!(!message.contains(refused), "{message}");
        assert_eq!(
            serde_json::from_str::<DeadLetter>(&message).unwrap(),
            letter
        );
        assert_eq!(letter.headers[0].value, STANDARD.encode([255, 0, 127]));
        assert_eq!(letter.headers.len(), 3);
    }

    #[test]
    fn a_record_too_large_for_the_queue_is_only_named() {
        let of_size = |size: usize| {
            letter(&json!({
                "topic": "patient.events.v1", "partition": 3, "offset": 7, "timestamp": 0,
                "key": "AA==", "value": "A".repeat(size), "headers": [{ "name": [1] }],
            }))
        };
        let fits = of_size(200_000).into_message().unwrap();
        assert!(!serde_json::from_str::<DeadLetter>(&fits).unwrap().too_large);
        let message = of_size(LARGEST_MESSAGE).into_message().unwrap();
        assert!(message.len() < 1000);
        let named: DeadLetter = serde_json::from_str(&message).unwrap();
        assert!(named.too_large);
        assert_eq!((named.partition, named.offset), (3, 7));
        assert_eq!((named.key, named.value), (None, None));
    }
}

//! What is behind the API: functions, secrets, queues and sent mail. Without an SDK, because no
//! more than this is needed.

mod schedules;
mod tables;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{NaiveDateTime, Utc};
use mail_parser::{Address, MessageParser};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Answer, Call, Stack, eventually};

/// LocalStack.
pub struct Aws<'a> {
    stack: &'a Stack,
    http: &'a Client,
}

/// The result of invoking a function directly.
#[derive(Debug)]
pub struct Invoked {
    /// Its return value, or its error.
    pub payload: Value,
    /// Whether the invocation failed.
    pub failed: bool,
}

/// A message that SES has accepted.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mail {
    /// When SES accepted it, in UTC and whole seconds.
    pub timestamp: NaiveDateTime,
    /// The sender.
    pub source: String,
    /// The subject.
    pub subject: String,
    /// The text of the message.
    pub body: MailBody,
    /// The recipients.
    pub destination: Destination,
    /// Every part of a message that was sent as a whole, decoded: plain text and calendar.
    #[serde(skip)]
    pub parts: Vec<String>,
}

impl Mail {
    /// All that it says, part by part.
    #[must_use]
    pub fn whole(&self) -> String {
        let text = self.body.text_part.iter().map(String::as_str);
        let parts = self.parts.iter().map(String::as_str);
        text.chain(parts).collect::<Vec<_>>().join("\n")
    }

    /// Reads what LocalStack keeps of a message: its parts, or the whole as it was sent.
    fn of(kept: Value) -> Self {
        let Some(raw) = kept["RawData"].as_str() else {
            return serde_json::from_value(kept).expect("a message in parts");
        };
        let mail = MessageParser::default()
            .parse(raw)
            .expect("a message in the format of RFC 5322");
        let recipients = mail.to().into_iter().flat_map(Address::iter);
        let recipients = recipients.filter_map(|to| to.address().map(ToOwned::to_owned));
        let parts = mail.parts.iter().filter_map(|part| part.text_contents());
        let timestamp = kept["Timestamp"].as_str().expect("a timestamp");
        Self {
            timestamp: timestamp.parse().expect("a time"),
            source: kept["Source"].as_str().unwrap_or_default().to_owned(),
            subject: mail.subject().unwrap_or_default().to_owned(),
            body: MailBody {
                text_part: mail.body_text(0).map(Into::into),
            },
            destination: Destination {
                to_addresses: recipients.collect(),
            },
            parts: parts.map(ToOwned::to_owned).collect(),
        }
    }
}

/// The text of a message.
#[derive(Debug, Clone, Deserialize)]
pub struct MailBody {
    /// The plain text.
    pub text_part: Option<String>,
}

/// The recipients of a message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Destination {
    /// The addresses.
    #[serde(default)]
    pub to_addresses: Vec<String>,
}

/// An event source mapping of a consumer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSourceMapping {
    /// Its id.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// `Enabled`, `Disabled` or a transitional state.
    pub state: String,
}

/// A record that a consumer set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The consumer that could not decode it.
    pub consumer: String,
    /// The topic of the record.
    pub topic: String,
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// Why it could not be decoded.
    pub reason: String,
    /// Whether the record is too large for the queue: then what follows is missing.
    pub too_large: bool,
    /// The record's key, in base64.
    pub key: Option<String>,
    /// The record's value, in base64.
    pub value: Option<String>,
    /// The record's headers: `name` and, in base64, `value`.
    pub headers: Vec<Value>,
}

impl DeadLetter {
    /// The record's key, if it is text.
    #[must_use]
    pub fn key_text(&self) -> Option<String> {
        let key = STANDARD.decode(self.key.as_ref()?).ok()?;
        String::from_utf8(key).ok()
    }
}

impl<'a> Aws<'a> {
    pub(crate) const fn new(stack: &'a Stack, http: &'a Client) -> Self {
        Self { stack, http }
    }

    /// Invokes a function, bypassing the gateway.
    pub async fn invoke(&self, function: &str, payload: &Value) -> Invoked {
        let answer = self.invocation(function, payload).answers(200).await;
        Invoked {
            payload: answer.json(),
            failed: answer.header("x-amz-function-error").is_some(),
        }
    }

    /// The invocation of a function, bypassing the gateway, still to be sent.
    pub fn invocation(&self, function: &str, payload: &Value) -> Call {
        let name = self.stack.function_name(function);
        let path = format!("/2015-03-31/functions/{name}/invocations");
        self.call("lambda", "POST", &path).json(payload)
    }

    /// The event source mapping of a consumer, as AWS reports it.
    pub async fn event_source_mapping(&self, function: &str) -> EventSourceMapping {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Mappings {
            event_source_mappings: Vec<EventSourceMapping>,
        }
        let name = self.stack.function_name(function);
        let path = format!("/2015-03-31/event-source-mappings/?FunctionName={name}");
        let mappings: Mappings = self.call("lambda", "GET", &path).answers(200).await.read();
        let mut mappings = mappings.event_source_mappings.into_iter();
        mappings.next().expect("a consumer of a topic")
    }

    /// Enables or disables the mapping of a consumer, and waits until that has taken effect.
    pub async fn enable_event_source_mapping(&self, function: &str, enabled: bool) {
        let mapping = self.event_source_mapping(function).await;
        let path = format!("/2015-03-31/event-source-mappings/{}", mapping.uuid);
        let change = self.call("lambda", "PUT", &path);
        let change = change.json(&json!({ "Enabled": enabled }));
        change.answers(202).await;
        let wanted = if enabled { "Enabled" } else { "Disabled" };
        eventually(&format!("{function}: {wanted}"), async || {
            let mapping = self.event_source_mapping(function).await;
            (mapping.state == wanted).then_some(())
        })
        .await;
    }

    /// The value of a secret.
    pub async fn secret(&self, id: &str) -> String {
        let answer = self
            .action(
                "secretsmanager",
                "secretsmanager.GetSecretValue",
                "1.1",
                &json!({ "SecretId": id }),
            )
            .await;
        let value = answer.json()["SecretString"]
            .as_str()
            .map(ToOwned::to_owned);
        value.expect("a secret that is text")
    }

    /// All messages to this address that SES has accepted.
    pub async fn mail_to(&self, address: &str) -> Vec<Mail> {
        let is_to = |mail: &Mail| mail.destination.to_addresses.iter().any(|to| to == address);
        self.mails().await.into_iter().filter(is_to).collect()
    }

    /// All messages that SES has accepted.
    pub async fn mails(&self) -> Vec<Mail> {
        #[derive(Deserialize)]
        struct Taken {
            messages: Vec<Value>,
        }
        let taken: Taken = self
            .call("ses", "GET", "/_aws/ses")
            .answers(200)
            .await
            .read();
        taken.messages.into_iter().map(Mail::of).collect()
    }

    /// Puts a message on a queue.
    pub async fn send(&self, queue: &str, body: &str) {
        let message = json!({ "QueueUrl": self.queue_url(queue), "MessageBody": body });
        self.action("sqs", "AmazonSQS.SendMessage", "1.0", &message)
            .await;
    }

    /// How many messages a queue has, including those being processed.
    pub async fn messages_on(&self, queue: &str) -> u32 {
        const COUNTS: [&str; 2] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
        ];
        let question = json!({ "QueueUrl": self.queue_url(queue), "AttributeNames": COUNTS });
        let answer = self.action("sqs", "AmazonSQS.GetQueueAttributes", "1.0", &question);
        let answer = answer.await.json();
        let count = |name: &str| answer["Attributes"][name].as_str()?.parse::<u32>().ok();
        COUNTS.iter().filter_map(|name| count(name)).sum()
    }

    fn queue_url(&self, queue: &str) -> String {
        format!(
            "{}/000000000000/{}",
            self.stack.localstack_url,
            self.stack.function_name(queue)
        )
    }

    /// Takes matching letters from the dead-letter queue, from a single receive. The others
    /// reappear after a moment.
    pub async fn take_dead_letters(&self, wanted: impl Fn(&DeadLetter) -> bool) -> Vec<DeadLetter> {
        let queue = self.queue_url("dead-letters");
        let some = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 2 });
        let answer = self.action("sqs", "AmazonSQS.ReceiveMessage", "1.0", &some);
        let answer = answer.await.json();
        let mut taken = Vec::new();
        for message in answer["Messages"].as_array().into_iter().flatten() {
            let body = message["Body"].as_str().expect("a message with a body");
            // A message that is not a dead letter may belong to another test.
            let letter = serde_json::from_str(body).ok();
            if let Some(letter) = letter.filter(|letter| wanted(letter)) {
                let receipt = &message["ReceiptHandle"];
                let done = json!({ "QueueUrl": queue, "ReceiptHandle": receipt });
                self.action("sqs", "AmazonSQS.DeleteMessage", "1.0", &done)
                    .await;
                taken.push(letter);
            }
        }
        taken
    }

    /// Takes the message with this body from the dead-letter queue.
    pub async fn discard_dead_letter(&self, words: &str) {
        let queue = self.queue_url("dead-letters");
        let some = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 2 });
        eventually("the message in the queue", async || {
            let answer = self.action("sqs", "AmazonSQS.ReceiveMessage", "1.0", &some);
            let answer = answer.await.json();
            let messages = answer["Messages"].as_array()?;
            let message = messages.iter().find(|message| message["Body"] == words)?;
            let receipt = &message["ReceiptHandle"];
            let done = json!({ "QueueUrl": queue, "ReceiptHandle": receipt });
            self.action("sqs", "AmazonSQS.DeleteMessage", "1.0", &done)
                .await;
            Some(())
        })
        .await;
    }

    async fn action(&self, service: &str, target: &str, version: &str, input: &Value) -> Answer {
        let input = input.to_string();
        self.call(service, "POST", "/")
            .header("X-Amz-Target", target)
            .body(&format!("application/x-amz-json-{version}"), input)
            .answers(200)
            .await
    }

    fn call(&self, service: &str, method: &str, path: &str) -> Call {
        // LocalStack reads the region and the service from this, and verifies nothing.
        // The server behind its DynamoDB wants a time as well.
        let now = Utc::now();
        let credential = format!(
            "test/{}/{}/{service}/aws4_request",
            now.format("%Y%m%d"),
            self.stack.aws_region
        );
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=none");
        Call::new(
            self.http,
            method,
            &format!("{}{path}", self.stack.localstack_url),
        )
        .header("Authorization", &authorization)
        .header("X-Amz-Date", &now.format("%Y%m%dT%H%M%SZ").to_string())
    }
}

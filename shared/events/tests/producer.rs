//! How a real broker responds when it cannot accept a record.

use std::env;

use events::{Producer, ProducerError};
use uuid::Uuid;

/// More than a broker accepts by default (`message.max.bytes`, about 1 MiB):
/// <https://kafka.apache.org/documentation/#brokerconfigs_message.max.bytes>.
const TOO_LARGE: usize = 1_200_000;

fn brokers() -> String {
    env::var("KAFKA_BOOTSTRAP_SERVERS").unwrap_or_else(|_| {
        panic!("KAFKA_BOOTSTRAP_SERVERS is not set: the stack sets it, see Tests in README.md")
    })
}

async fn send(topic: &'static str, size: usize) -> Result<(), ProducerError> {
    Producer::new(&brokers(), topic)
        .send(Uuid::now_v7(), Uuid::now_v7(), String::new(), vec![0; size])
        .await
}

#[tokio::test]
async fn an_unknown_topic_is_an_outage_and_is_not_created() {
    for attempt in ["first", "second"] {
        let error = send("no.such.topic", 1).await.unwrap_err();
        assert!(
            matches!(error, ProducerError::UnknownTopic),
            "{attempt}: {error:?}"
        );
        assert!(!error.is_refusal(), "the record may be accepted later");
    }
}

#[tokio::test]
async fn a_record_that_is_too_large_is_rejected_for_good() {
    let error = send(contracts::PATIENT_EVENTS_TOPIC, TOO_LARGE)
        .await
        .unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
}

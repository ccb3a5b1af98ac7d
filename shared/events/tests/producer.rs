//! How a real broker responds when it cannot accept a record.

use events::{Producer, ProducerError};
use kafka::Cluster;
use uuid::Uuid;

/// More than a broker accepts by default (`message.max.bytes`, about 1 MiB):
/// <https://kafka.apache.org/documentation/#brokerconfigs_message.max.bytes>.
const TOO_LARGE: usize = 1_200_000;

async fn send(topic: &'static str, size: usize) -> Result<(), ProducerError> {
    let cluster = Cluster::from_env()
        .unwrap_or_else(|error| panic!("{error}: the stack sets it, see Tests in README.md"));
    Producer::new(cluster, topic)
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

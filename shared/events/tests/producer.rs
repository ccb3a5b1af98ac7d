//! How a real broker responds when it cannot accept a record.

use events::{Producer, ProducerError};
use kafka::Cluster;
use telemetry::testing::logged;
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

/// As many as it takes to find the broker, and to be answered by it. The client writes a line for each
/// connection that it opens, which pays for the log of each new function.
#[tokio::test]
async fn the_first_record_opens_its_own_partition_and_fills_no_log() {
    let first = || send(contracts::PATIENT_EVENTS_TOPIC, 1);
    let (sent, lines) = logged("info,rskafka=info", first()).await;
    sent.unwrap();
    let count = |what| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("Establishing new connection"), 2, "{lines:#?}");
    assert_eq!(count("Creating new partition-specific"), 1, "{lines:#?}");

    let (sent, lines) = logged("", first()).await;
    sent.unwrap();
    assert!(lines.is_empty(), "{lines:#?}");
}

#[tokio::test]
async fn a_record_that_is_too_large_is_rejected_for_good() {
    let error = send(contracts::PATIENT_EVENTS_TOPIC, TOO_LARGE)
        .await
        .unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
}

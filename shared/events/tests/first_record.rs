//! What the first record of a process costs. It is a program of its own: what is logged anywhere in a
//! process is decided together with all that is done in it at the same time.

use contracts::PATIENT_EVENTS_TOPIC;
use events::{Producer, ProducerError};
use kafka::Cluster;
use telemetry::testing::logged;
use uuid::Uuid;

async fn send() -> Result<(), ProducerError> {
    let cluster = Cluster::from_env()
        .unwrap_or_else(|error| panic!("{error}: the stack sets it, see Tests in README.md"));
    Producer::new(cluster, PATIENT_EVENTS_TOPIC)
        .send(Uuid::now_v7(), Uuid::now_v7(), String::new(), vec![0])
        .await
}

/// As many connections as it takes to find the broker, and to be answered by it. The client writes a
/// line for each that it opens, which pays for the log of each new function.
#[tokio::test]
async fn the_first_record_opens_its_own_partition_and_fills_no_log() {
    let (sent, lines) = logged("info,rskafka=info", send()).await;
    sent.unwrap();
    let count = |what| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("Establishing new connection"), 2, "{lines:#?}");
    assert_eq!(count("Creating new partition-specific"), 1, "{lines:#?}");

    let (sent, lines) = logged("", send()).await;
    sent.unwrap();
    assert!(lines.is_empty(), "{lines:#?}");
}

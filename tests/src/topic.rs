//! The patient events as any program sees them that reads Kafka.

use std::{collections::BTreeMap, sync::Arc};

use chrono::Utc;
use contracts::{PATIENT_EVENTS_TOPIC, patient::v1::PatientEvent};
use prost::Message as _;
use rskafka::{
    client::{
        ClientBuilder,
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use uuid::Uuid;

use crate::{Stack, eventually};

/// As much as one answer of the broker may have, in bytes.
const FETCH: i32 = 1_000_000;

/// How long the broker may keep us waiting for records, in milliseconds.
const FETCH_WAIT: i32 = 100;

/// The topic of patient events, from the moment on at which it was opened.
pub struct Topic {
    partitions: Vec<(Arc<PartitionClient>, i64)>,
    seen: Vec<PatientRecord>,
}

/// A record of the topic.
#[derive(Debug, Clone)]
pub struct PatientRecord {
    /// The record's key.
    pub key: String,
    /// The record's headers.
    pub headers: BTreeMap<String, String>,
    /// Where it stands.
    pub partition: i32,
    /// What it says.
    pub event: PatientEvent,
}

impl Topic {
    /// Listens from now on.
    pub async fn listen(stack: &Stack) -> Self {
        let servers = stack.kafka_bootstrap_servers.split(',');
        let client = ClientBuilder::new(servers.map(ToOwned::to_owned).collect())
            .build()
            .await
            .expect("a Kafka broker that answers");
        let topics = client.list_topics().await.expect("the topics");
        let topic = topics
            .into_iter()
            .find(|topic| topic.name == PATIENT_EVENTS_TOPIC)
            .expect("the topic of patient events");
        let mut partitions = Vec::new();
        for id in topic.partitions {
            let partition = client
                .partition_client(PATIENT_EVENTS_TOPIC, id, UnknownTopicHandling::Error)
                .await
                .expect("a partition of the topic");
            let end = partition
                .get_offset(OffsetAt::Latest)
                .await
                .expect("its end");
            partitions.push((Arc::new(partition), end));
        }
        Self {
            partitions,
            seen: Vec::new(),
        }
    }

    /// Waits until there are so many records about this patient, and answers them in their
    /// order.
    pub async fn records_about(&mut self, patient_id: Uuid, many: usize) -> Vec<PatientRecord> {
        let key = patient_id.to_string();
        let what = format!("{many} records on Kafka about the patient {key}");
        eventually(&what, async || {
            self.fetch().await;
            let about = self.seen.iter().filter(|record| record.key == key);
            let records: Vec<_> = about.cloned().collect();
            (records.len() >= many).then_some(records)
        })
        .await
    }

    async fn fetch(&mut self) {
        for (partition, offset) in &mut self.partitions {
            let (records, _) = partition
                .fetch_records(*offset, 1..FETCH, FETCH_WAIT)
                .await
                .expect("records");
            for record in records {
                *offset = record.offset + 1;
                // A record that is no event may be another test's.
                self.seen
                    .extend(read(partition.partition(), &record.record));
            }
        }
    }

    /// Puts any record on a partition of the topic, as a program that makes mistakes might.
    pub async fn send(&self, partition: i32, key: &str, event_id: &str, value: Vec<u8>) {
        let mut partitions = self.partitions.iter().map(|(client, _)| client);
        let partition = partitions
            .find(|client| client.partition() == partition)
            .expect("a partition of this number");
        let headers = [(
            contracts::EVENT_ID_HEADER.to_owned(),
            event_id.as_bytes().to_vec(),
        )];
        let record = Record {
            key: Some(key.as_bytes().to_vec()),
            value: Some(value),
            headers: headers.into(),
            timestamp: Utc::now(),
        };
        partition
            .produce(vec![record], Compression::NoCompression)
            .await
            .expect("a broker that takes records");
    }
}

fn read(partition: i32, record: &Record) -> Option<PatientRecord> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let headers = record.headers.iter();
    Some(PatientRecord {
        key: text(record.key.as_deref()?)?,
        headers: headers
            .map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect::<Option<_>>()?,
        partition,
        event: PatientEvent::decode(record.value.as_deref()?).ok()?,
    })
}

//! The topics of events, as seen by any Kafka client.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use contracts::{PATIENT_EVENTS_TOPIC, patient::v1::PatientEvent};
use kafka::Cluster;
use prost::Message as _;
use rskafka::{
    client::{
        error::Error,
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use uuid::Uuid;

use crate::eventually;

/// The largest response of the broker, in bytes.
const FETCH: i32 = 1_000_000;

/// How long the broker may wait for records, in milliseconds.
const FETCH_WAIT: i32 = 100;

/// How long the broker may take for one response, including a restart.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often opening the topic is tried, with new connections.
const ATTEMPTS: usize = 5;

/// A reader of a topic, from some offsets on.
pub struct Topic {
    partitions: Vec<(Arc<PartitionClient>, i64)>,
    seen: Vec<PatientRecord>,
    raw: Vec<RawRecord>,
}

/// Any record of the topic.
#[derive(Debug, Clone)]
pub struct RawRecord {
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// The record itself.
    pub record: Record,
}

/// A patient event on the topic.
#[derive(Debug, Clone)]
pub struct PatientRecord {
    /// The record's key.
    pub key: String,
    /// The record's headers.
    pub headers: BTreeMap<String, String>,
    /// The partition of the record.
    pub partition: i32,
    /// The offset of the record.
    pub offset: i64,
    /// When its producer created it.
    pub timestamp: DateTime<Utc>,
    /// The event.
    pub event: PatientEvent,
}

impl Topic {
    /// Reads records from now on.
    pub async fn listen() -> Self {
        Self::open(&BTreeMap::new()).await
    }

    /// Reads each partition from this offset on, and those that are not named from now on.
    pub async fn open(offsets: &BTreeMap<i32, i64>) -> Self {
        Self::open_named(PATIENT_EVENTS_TOPIC, offsets).await
    }

    /// Like [`open`](Self::open), for the topic of this name.
    pub async fn open_named(name: &str, offsets: &BTreeMap<i32, i64>) -> Self {
        for _ in 0..ATTEMPTS {
            let opened = tokio::time::timeout(PATIENCE, Self::try_open(name, offsets)).await;
            if let Ok(Ok(topic)) = opened {
                return topic;
            }
        }
        panic!("the topic could not be opened: the broker does not respond");
    }

    async fn try_open(name: &str, offsets: &BTreeMap<i32, i64>) -> anyhow::Result<Self> {
        let cluster = Cluster::from_env().expect("the settings of a stack");
        let client = cluster.connect("test", PATIENCE).await?;
        let topics = client.list_topics().await?;
        let topic = topics
            .into_iter()
            .find(|topic| topic.name == name)
            .expect("a topic of this name");
        let mut partitions = Vec::new();
        for id in topic.partitions {
            let partition = client
                .partition_client(name, id, UnknownTopicHandling::Error)
                .await?;
            let offset = match offsets.get(&id) {
                Some(offset) => *offset,
                None => partition.get_offset(OffsetAt::Latest).await?,
            };
            partitions.push((Arc::new(partition), offset));
        }
        Ok(Self {
            partitions,
            seen: Vec::new(),
            raw: Vec::new(),
        })
    }

    /// The next offset to read of each partition.
    #[must_use]
    pub fn offsets(&self) -> BTreeMap<i32, i64> {
        let partitions = self.partitions.iter();
        partitions
            .map(|(partition, offset)| (partition.partition(), *offset))
            .collect()
    }

    /// Reads everything that is there by now, and returns all events so far, those of one patient
    /// in order.
    pub async fn records(&mut self) -> &[PatientRecord] {
        self.catch_up().await;
        &self.seen
    }

    /// Like [`records`](Self::records), for a topic of any records.
    pub async fn raw_records(&mut self) -> &[RawRecord] {
        self.catch_up().await;
        &self.raw
    }

    async fn catch_up(&mut self) {
        let mut ends = Vec::new();
        for (partition, _) in &self.partitions {
            ends.push(end(partition).await);
        }
        let is_behind = |topic: &Self| {
            let partitions = topic.partitions.iter().zip(&ends);
            partitions.into_iter().any(|((_, at), end)| at < end)
        };
        while is_behind(self) {
            self.fetch().await;
        }
    }

    /// Waits until there are this many records about this patient, and returns them in order.
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

    /// Waits until there are this many records with this key, and returns them in order.
    pub async fn records_with_key(&mut self, key: &[u8], many: usize) -> Vec<RawRecord> {
        eventually(&format!("{many} records on Kafka with a key"), async || {
            self.fetch().await;
            let with = self.raw.iter();
            let with = with.filter(|raw| raw.record.key.as_deref() == Some(key));
            let records: Vec<_> = with.cloned().collect();
            (records.len() >= many).then_some(records)
        })
        .await
    }

    /// The number of partitions of the topic.
    #[must_use]
    pub const fn partitions(&self) -> usize {
        self.partitions.len()
    }

    async fn fetch(&mut self) {
        for (partition, offset) in &mut self.partitions {
            let fetched = partition.fetch_records(*offset, 1..FETCH, FETCH_WAIT);
            let (records, _) = in_time("records", fetched).await;
            for record in records {
                *offset = record.offset + 1;
                // A record that is not an event may belong to another test.
                self.seen
                    .extend(read(partition.partition(), record.offset, &record.record));
                self.raw.push(RawRecord {
                    partition: partition.partition(),
                    offset: record.offset,
                    record: record.record,
                });
            }
        }
    }

    /// Sends a record with an event's headers to a partition of the topic.
    pub async fn send(&self, partition: i32, key: &str, event_id: &str, value: Vec<u8>) {
        let headers = [(contracts::EVENT_ID_HEADER.to_owned(), event_id.to_owned())];
        self.put(partition, key, headers.into(), Some(value)).await;
    }

    /// Like [`send`](Self::send), with any headers, and possibly without a value.
    pub async fn put(
        &self,
        partition: i32,
        key: &str,
        headers: BTreeMap<String, String>,
        value: Option<Vec<u8>>,
    ) {
        let headers = headers.into_iter();
        let record = Record {
            key: Some(key.as_bytes().to_vec()),
            value,
            headers: headers
                .map(|(name, value)| (name, value.into_bytes()))
                .collect(),
            timestamp: Utc::now(),
        };
        self.send_all(partition, vec![record]).await;
    }

    /// Sends any records to a partition of the topic, in order, as a faulty program might.
    pub async fn send_all(&self, partition: i32, records: Vec<Record>) {
        let mut partitions = self.partitions.iter().map(|(client, _)| client);
        let partition = partitions
            .find(|client| client.partition() == partition)
            .expect("a partition of this number");
        let produced = partition.produce(records, Compression::NoCompression);
        in_time("a place for records", produced).await;
    }
}

async fn end(partition: &PartitionClient) -> i64 {
    in_time(
        "the partition's end",
        partition.get_offset(OffsetAt::Latest),
    )
    .await
}

/// The broker's response, with a timeout: a test that waits for ever reports nothing.
async fn in_time<T>(what: &str, answer: impl Future<Output = Result<T, Error>>) -> T {
    let answered = tokio::time::timeout(PATIENCE, answer).await;
    let answered = answered.unwrap_or_else(|_| panic!("the broker does not return {what} in time"));
    answered.unwrap_or_else(|error| panic!("the broker does not return {what}: {error}"))
}

fn read(partition: i32, offset: i64, record: &Record) -> Option<PatientRecord> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let headers = record.headers.iter();
    Some(PatientRecord {
        key: text(record.key.as_deref()?)?,
        headers: headers
            .map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect::<Option<_>>()?,
        partition,
        offset,
        timestamp: record.timestamp,
        event: PatientEvent::decode(record.value.as_deref()?).ok()?,
    })
}

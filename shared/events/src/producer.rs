//! Sends records to Kafka.

use std::{collections::HashMap, sync::Arc, time::Duration};

use contracts::{EVENT_ID_HEADER, TRACEPARENT};
use rskafka::{
    BackoffConfig,
    client::{
        ClientBuilder,
        error::{Error, ProtocolError},
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use tokio::sync::Mutex;
use uuid::Uuid;

/// How long one attempt may take, including connecting.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a record is not on the topic, as far as we know.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The broker rejected it, or the connection was lost.
    #[error("Kafka did not accept the record")]
    Kafka(#[from] Error),
    /// The broker did not respond in time.
    #[error("Kafka did not respond in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    /// The topic does not exist.
    #[error("the topic does not exist")]
    UnknownTopic,
}

impl ProducerError {
    /// Whether the broker rejects this very record, and always will.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Kafka(Error::ServerError {
                protocol_error: ProtocolError::MessageTooLarge
                    | ProtocolError::RecordListTooLarge
                    | ProtocolError::InvalidRecord
                    | ProtocolError::CorruptMessage,
                ..
            })
        )
    }
}

/// Sends records to one topic, and stays connected as long as that works.
#[derive(Debug)]
pub struct Producer {
    brokers: Vec<String>,
    topic: &'static str,
    partitions: Mutex<Option<Partitions>>,
}

type Partitions = HashMap<u32, Arc<PartitionClient>>;

impl Producer {
    /// A producer for this topic. `brokers` is a comma-separated list of `host:port`. Nothing is
    /// connected yet.
    #[must_use]
    pub fn new(brokers: &str, topic: &'static str) -> Self {
        Self {
            brokers: brokers
                .split(',')
                .map(|broker| broker.trim().to_owned())
                .collect(),
            topic,
            partitions: Mutex::new(None),
        }
    }

    /// Sends one record and waits until the broker has confirmed it. Records with the same key go
    /// to the same partition, in the order in which they are sent.
    ///
    /// # Errors
    /// If the broker does not confirm the record in time. It may have stored it all the same: send
    /// it again, since consumers recognise duplicates.
    pub async fn send(
        &self,
        key: Uuid,
        event_id: Uuid,
        traceparent: String,
        value: Vec<u8>,
    ) -> Result<(), ProducerError> {
        let record = Record {
            key: Some(key.to_string().into_bytes()),
            value: Some(value),
            headers: [
                (TRACEPARENT.to_owned(), traceparent.into_bytes()),
                (
                    EVENT_ID_HEADER.to_owned(),
                    event_id.to_string().into_bytes(),
                ),
            ]
            .into(),
            timestamp: chrono::Utc::now(),
        };
        let sent = tokio::time::timeout(PATIENCE, async {
            let partition = self.partition(key).await?;
            partition
                .produce(vec![record], Compression::NoCompression)
                .await
                .map_err(ProducerError::from)
        })
        .await;
        match sent {
            Ok(Ok(_)) => Ok(()),
            failed => {
                // The next record looks up brokers and partitions again.
                *self.partitions.lock().await = None;
                failed?.map(|_| ())
            }
        }
    }

    async fn partition(&self, key: Uuid) -> Result<Arc<PartitionClient>, ProducerError> {
        let mut partitions = self.partitions.lock().await;
        let partitions = match &mut *partitions {
            Some(partitions) => partitions,
            unconnected => unconnected.insert(self.connect().await?),
        };
        let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX).max(1);
        partitions
            .get(&(partition_hash(key) % count))
            .cloned()
            .ok_or(ProducerError::UnknownTopic)
    }

    async fn connect(&self) -> Result<Partitions, ProducerError> {
        let client = ClientBuilder::new(self.brokers.clone())
            .client_id("patient-management")
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(200),
                base: 2.0,
                deadline: Some(PATIENCE),
            })
            .build()
            .await?;
        let topics = client.list_topics().await?;
        let topic = topics
            .into_iter()
            .find(|topic| topic.name == self.topic)
            .ok_or(ProducerError::UnknownTopic)?;
        let mut partitions = Partitions::new();
        for id in topic.partitions {
            let partition = client
                .partition_client(self.topic, id, UnknownTopicHandling::Error)
                .await?;
            partitions.insert(id.cast_unsigned(), Arc::new(partition));
        }
        Ok(partitions)
    }
}

/// CRC-32 of the key's text, like librdkafka's `consistent` partitioner, so that other producers
/// can agree with us on a patient's partition.
fn partition_hash(key: Uuid) -> u32 {
    crc32fast::hash(key.to_string().as_bytes())
}

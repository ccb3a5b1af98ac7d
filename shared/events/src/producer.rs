//! Sends records to Kafka.

use std::{collections::HashMap, sync::Arc, time::Duration};

use contracts::{EVENT_ID_HEADER, TRACEPARENT};
use futures::future::BoxFuture;
use kafka::{Cluster, ConnectError};
use rskafka::{
    client::{
        Client,
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
    /// There is no connection to the cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
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
    cluster: Cluster,
    topic: &'static str,
    connected: Mutex<Option<Connected>>,
}

/// A topic that was looked up, and connections to those of its partitions that were needed so far.
#[derive(Debug)]
struct Connected {
    client: Client,
    count: u32,
    partitions: HashMap<u32, Arc<PartitionClient>>,
}

impl Producer {
    /// A producer for this topic. Nothing is connected yet.
    #[must_use]
    pub fn new(cluster: Cluster, topic: &'static str) -> Self {
        Self {
            cluster,
            topic,
            connected: Mutex::new(None),
        }
    }

    /// Sends one record and waits until the broker has confirmed it. Records with the same key go
    /// to the same partition, in the order in which they are sent.
    ///
    /// # Errors
    /// If the broker does not confirm the record in time. It may have stored it all the same: send
    /// it again, since consumers recognise duplicates.
    //
    // The future of a client with TLS is so deeply nested that programs would not compile with it.
    pub fn send(
        &self,
        key: Uuid,
        event_id: Uuid,
        traceparent: String,
        value: Vec<u8>,
    ) -> BoxFuture<'_, Result<(), ProducerError>> {
        Box::pin(self.attempt(key, event_id, traceparent, value))
    }

    async fn attempt(
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
                *self.connected.lock().await = None;
                failed?.map(|_| ())
            }
        }
    }

    async fn partition(&self, key: Uuid) -> Result<Arc<PartitionClient>, ProducerError> {
        let mut connected = self.connected.lock().await;
        let connected = match &mut *connected {
            Some(connected) => connected,
            unconnected => unconnected.insert(self.connect().await?),
        };
        let number = partition_hash(key) % connected.count;
        if let Some(partition) = connected.partitions.get(&number) {
            return Ok(Arc::clone(partition));
        }
        // Each has a connection of its own: most functions only ever need one of them.
        let partition = connected
            .client
            .partition_client(
                self.topic,
                number.cast_signed(),
                UnknownTopicHandling::Error,
            )
            .await?;
        let partition = Arc::new(partition);
        connected.partitions.insert(number, Arc::clone(&partition));
        Ok(partition)
    }

    async fn connect(&self) -> Result<Connected, ProducerError> {
        let client = self.cluster.connect("patient-management", PATIENCE).await?;
        let topics = client.list_topics().await?;
        let topic = topics.into_iter().find(|topic| topic.name == self.topic);
        let count = topic.map_or(0, |topic| topic.partitions.len());
        if count == 0 {
            return Err(ProducerError::UnknownTopic);
        }
        Ok(Connected {
            client,
            count: u32::try_from(count).unwrap_or(u32::MAX),
            partitions: HashMap::new(),
        })
    }
}

/// CRC-32 of the key's text, like librdkafka's `consistent` partitioner, so that other producers
/// can agree with us on a patient's partition.
fn partition_hash(key: Uuid) -> u32 {
    crc32fast::hash(key.to_string().as_bytes())
}

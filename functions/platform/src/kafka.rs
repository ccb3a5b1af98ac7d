//! What the platform asks Kafka for: which topics there are, one more, and their partitions.

use std::time::Duration;

use futures::future::BoxFuture;
use kafka::{Cluster, ConnectError};
use rskafka::client::{
    Client,
    error::{Error, ProtocolError},
    partition::{PartitionClient, UnknownTopicHandling},
};

/// How long the brokers may take to make a topic, in milliseconds.
const TOPIC_CREATION_TIMEOUT_MS: i32 = 5_000;

/// A connection to the brokers.
#[derive(Debug)]
pub(crate) struct Kafka {
    client: Client,
}

/// The futures of a client with TLS are so deeply nested that programs would not compile with them.
pub(crate) type Answer<'a, T, E = Error> = BoxFuture<'a, Result<T, E>>;

impl Kafka {
    /// Connects to one of the brokers.
    ///
    /// # Errors
    /// If none of them lets us in within this time.
    pub(crate) fn connect(cluster: &Cluster, patience: Duration) -> Answer<'_, Self, ConnectError> {
        Box::pin(async move {
            let client = cluster.connect("platform", patience).await?;
            Ok(Self { client })
        })
    }

    /// How many partitions the topic has; `None` if there is no such topic.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(crate) fn partitions<'a>(&'a self, topic: &'a str) -> Answer<'a, Option<usize>> {
        Box::pin(async move {
            let topics = self.client.list_topics().await?;
            let topic = topics.into_iter().find(|candidate| candidate.name == topic);
            Ok(topic.map(|topic| topic.partitions.len()))
        })
    }

    /// Those of these topics that are not there.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(crate) fn missing<'a, 'b: 'a>(&'a self, topics: &'a [&'b str]) -> Answer<'a, Vec<&'b str>> {
        Box::pin(async move {
            let there = self.client.list_topics().await?;
            let is_there = |name: &str| there.iter().any(|topic| topic.name == name);
            let topics = topics.iter().copied();
            Ok(topics.filter(|name| !is_there(name)).collect())
        })
    }

    /// A partition of the topic, to read and to write.
    ///
    /// # Errors
    /// If there is no such partition, or its broker does not answer.
    pub(crate) fn partition<'a>(
        &'a self,
        topic: &'a str,
        partition: i32,
    ) -> Answer<'a, PartitionClient> {
        Box::pin(
            self.client
                .partition_client(topic, partition, UnknownTopicHandling::Error),
        )
    }

    /// Makes the topic, and tells whether it was not there before.
    ///
    /// # Errors
    /// If the brokers do not answer, or refuse.
    pub(crate) fn create_topic<'a>(
        &'a self,
        topic: &'a str,
        partitions: i32,
        replication: i16,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            let created = self
                .client
                .controller_client()?
                .create_topic(topic, partitions, replication, TOPIC_CREATION_TIMEOUT_MS)
                .await;
            match created {
                Ok(()) => Ok(true),
                Err(Error::ServerError {
                    protocol_error: ProtocolError::TopicAlreadyExists,
                    ..
                }) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }
}

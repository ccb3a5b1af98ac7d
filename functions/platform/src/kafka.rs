//! What the platform asks Kafka for: which topics there are, one more, and their partitions.

use std::time::Duration;

use rskafka::{
    BackoffConfig,
    client::{
        Client, ClientBuilder,
        error::{Error, ProtocolError},
        partition::{PartitionClient, UnknownTopicHandling},
    },
};

/// How long the brokers may take to make a topic, in milliseconds.
const TOPIC_CREATION_TIMEOUT_MS: i32 = 5_000;

/// A connection to the brokers.
#[derive(Debug)]
pub(crate) struct Kafka {
    client: Client,
}

impl Kafka {
    /// Connects to one of these brokers, `host:port` separated by commas.
    ///
    /// # Errors
    /// If none of them answers for this long.
    pub(crate) async fn connect(brokers: &str, patience: Duration) -> Result<Self, Error> {
        let brokers = brokers.split(',').map(|broker| broker.trim().to_owned());
        let client = ClientBuilder::new(brokers.collect())
            .client_id("platform")
            .backoff_config(BackoffConfig {
                init_backoff: Duration::from_millis(20),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
                deadline: Some(patience),
            })
            .build()
            .await?;
        Ok(Self { client })
    }

    /// How many partitions the topic has; `None` if there is no such topic.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<usize>, Error> {
        let topics = self.client.list_topics().await?;
        let topic = topics.into_iter().find(|candidate| candidate.name == topic);
        Ok(topic.map(|topic| topic.partitions.len()))
    }

    /// Those of these topics that are not there.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(crate) async fn missing<'a>(&self, topics: &[&'a str]) -> Result<Vec<&'a str>, Error> {
        let there = self.client.list_topics().await?;
        let is_there = |name: &str| there.iter().any(|topic| topic.name == name);
        let topics = topics.iter().copied();
        Ok(topics.filter(|name| !is_there(name)).collect())
    }

    /// A partition of the topic, to read and to write.
    ///
    /// # Errors
    /// If there is no such partition, or its broker does not answer.
    pub(crate) async fn partition(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<PartitionClient, Error> {
        self.client
            .partition_client(topic, partition, UnknownTopicHandling::Error)
            .await
    }

    /// Makes the topic, and tells whether it was not there before.
    ///
    /// # Errors
    /// If the brokers do not answer, or refuse.
    pub(crate) async fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replication: i16,
    ) -> Result<bool, Error> {
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
    }
}

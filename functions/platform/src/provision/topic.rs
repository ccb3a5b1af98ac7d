//! The Kafka topics that events are published on.

use std::time::Duration;

use anyhow::Context as _;
use kafka::Cluster;
use serde::Serialize;
use store::setting;

use crate::kafka::Kafka;

/// How long the brokers may take to answer: a cluster may have started a moment ago.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks at whether every broker knows of the new topic.
const PAUSE: Duration = Duration::from_millis(200);

/// How a topic is made, if it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicShape {
    /// How many consumers of one group can work at the same time.
    pub partitions: i32,
    /// On how many brokers each record is kept.
    pub replication: i16,
}

impl TopicShape {
    /// Reads `KAFKA_TOPIC_PARTITIONS` (6 where it is not set) and
    /// `KAFKA_REPLICATION_FACTOR` (1).
    ///
    /// # Errors
    /// If one is not a number.
    pub fn from_env() -> anyhow::Result<Self> {
        Ok(Self {
            partitions: match setting("KAFKA_TOPIC_PARTITIONS") {
                Ok(text) => text.parse().context("KAFKA_TOPIC_PARTITIONS")?,
                Err(_) => 6,
            },
            replication: match setting("KAFKA_REPLICATION_FACTOR") {
                Ok(text) => text.parse().context("KAFKA_REPLICATION_FACTOR")?,
                Err(_) => 1,
            },
        })
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedTopic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions it has. A topic that was there before keeps what it had.
    pub partitions: usize,
    /// Whether it was made just now.
    pub created: bool,
}

/// Makes the topic unless it is there, and waits until producers can find it.
///
/// # Errors
/// If the brokers cannot be reached, or refuse.
pub async fn provide(
    cluster: &Cluster,
    name: &'static str,
    shape: TopicShape,
) -> anyhow::Result<ProvisionedTopic> {
    let provided = async {
        let kafka = Kafka::connect(cluster, PATIENCE).await?;
        let created = kafka
            .create_topic(name, shape.partitions, shape.replication)
            .await?;
        loop {
            if let Some(partitions) = kafka.partitions(name).await? {
                return anyhow::Ok(ProvisionedTopic {
                    name,
                    partitions,
                    created,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, provided)
        .await
        .context("Kafka did not answer in time")
        .flatten()
        .with_context(|| format!("the topic {name} could not be provided"))
}

//! Fills a deployment with what every service needs before its first request: the
//! schemas, the database roles of the services, the topics, the key that signs access tokens,
//! the sender of messages.
//!
//! Called after each deployment. Every step leaves what is there as it is, so calling
//! it again, or twice at the same time, is safe.

mod migrations;
mod owner;
mod scram;
mod sender;
mod service_roles;
mod services;
mod signing_key;
mod topic;

use std::collections::BTreeMap;

use anyhow::Context as _;
use contracts::TOPICS;
use kafka::Cluster;
use serde::Serialize;
use store::{Table, aws_config, setting};

pub use migrations::{Patience, run as run_migrations};
pub use sender::Sender;
pub use service_roles::{
    Login, ProvidedRole, provide as provide_service_roles, set_up_all as set_up_service_roles,
};
pub use services::{SERVICES, Service};
pub use signing_key::{
    ProvisionedKey, RotatedKey, provide as provide_signing_key, rotate as rotate_signing_key,
};
pub use topic::{ProvisionedTopic, TopicShape, provide as provide_topic};

/// What is there now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioned {
    /// How many migrations each service's schema has.
    pub migrations: BTreeMap<&'static str, usize>,
    /// What the services log in to the database as.
    pub service_roles: Vec<ProvidedRole>,
    /// Where events go.
    pub topics: Vec<ProvisionedTopic>,
    /// The key that signs access tokens.
    pub signing_key: ProvisionedKey,
    /// The address that messages to patients come from; missing where the deployment
    /// names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
}

/// Provides everything.
///
/// # Errors
/// With the step that failed and the reason. What earlier steps provided stays; the next
/// call goes on from there.
pub async fn provision() -> anyhow::Result<Provisioned> {
    let logins = Login::all_from_env()?;
    let owner = owner::from_env().await?;
    let migrations = migrations::run(&owner, Patience::default()).await?;
    let service_roles = service_roles::provide(&owner, &logins).await?;

    let cluster = Cluster::from_env()?;
    let shape = TopicShape::from_env()?;
    let mut topics = Vec::with_capacity(TOPICS.len());
    for name in TOPICS {
        topics.push(topic::provide(&cluster, name, shape).await?);
    }

    let aws = aws_config().await;
    let signing_key = signing_key::provide(
        aws,
        &setting("SIGNING_KEY_SECRET")?,
        &Table::from_env("PUBLIC_KEYS_TABLE")?,
    )
    .await
    .context("the key that signs access tokens could not be provided")?;

    let sender = match setting("NOTIFICATIONS_SENDER") {
        Ok(address) => Some(sender::provide(aws, address).await?),
        Err(_) => None,
    };

    Ok(Provisioned {
        migrations,
        service_roles,
        topics,
        signing_key,
        sender,
    })
}

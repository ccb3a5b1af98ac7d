//! A DynamoDB table and the client that reaches it.

use aws_sdk_dynamodb::Client;
use tokio::sync::OnceCell;

use crate::{MissingSetting, aws_config, setting};

/// A table, connected to with the first request that needs it.
#[derive(Debug)]
pub struct Table {
    name: String,
    client: OnceCell<Client>,
}

impl Table {
    /// The table whose name this setting holds.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env(name: &'static str) -> Result<Self, MissingSetting> {
        Ok(Self {
            name: setting(name)?,
            client: OnceCell::new(),
        })
    }

    /// The table of this name, reached with this client.
    #[must_use]
    pub fn with_client(name: String, client: Client) -> Self {
        Self {
            name,
            client: OnceCell::from(client),
        }
    }

    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client to call with.
    pub async fn client(&self) -> &Client {
        self.client
            .get_or_init(|| async { Client::new(aws_config().await) })
            .await
    }
}

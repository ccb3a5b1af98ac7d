//! Where the keys of the access tokens are stored: the private one in Secrets Manager, only for
//! issuing tokens; the public ones in a DynamoDB table, for everyone who verifies tokens.
//!
//! Both are read by the first request that needs them and cached for a few minutes, so that a new
//! key comes into use without a restart.

use std::{error::Error, sync::Arc, time::Duration};

use api::Problem;
use aws_sdk_dynamodb::types::AttributeValue;
use identity::{AccessTokens, PublicKeys, PublishedKeys, SigningKey};
use store::{MissingSetting, Table, aws_config, setting};
use tokio::sync::OnceCell;

use super::cached::Cached;

/// How long a key is used before it is read again.
pub const KEPT_FOR: Duration = Duration::from_mins(5);

/// The keys are unavailable. No token is issued or accepted without them.
#[derive(Debug, thiserror::Error)]
pub enum KeysUnavailable {
    /// The private key.
    #[error("the signing key cannot be read from Secrets Manager")]
    Signing(#[source] Box<dyn Error + Send + Sync>),
    /// The public keys.
    #[error("the public keys cannot be read from DynamoDB")]
    Public(#[source] Box<dyn Error + Send + Sync>),
}

/// 503.
impl From<KeysUnavailable> for Problem {
    fn from(error: KeysUnavailable) -> Self {
        Self::unavailable(1, error)
    }
}

/// The secret that holds the private key, as PKCS#8 PEM.
#[derive(Debug)]
pub struct SigningKeySecret {
    id: String,
    client: OnceCell<aws_sdk_secretsmanager::Client>,
    tokens: Cached<AccessTokens>,
}

impl SigningKeySecret {
    /// The secret that `SIGNING_KEY_SECRET` names. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self {
            id: setting("SIGNING_KEY_SECRET")?,
            client: OnceCell::new(),
            tokens: Cached::new(KEPT_FOR),
        })
    }

    /// The secret with this name, read with this client.
    #[must_use]
    pub fn new(id: &str, client: aws_sdk_secretsmanager::Client) -> Self {
        Self {
            id: id.to_owned(),
            client: OnceCell::new_with(Some(client)),
            tokens: Cached::new(KEPT_FOR),
        }
    }

    /// The issuer of tokens signed with this key.
    ///
    /// # Errors
    /// If the key cannot be read.
    pub async fn access_tokens(&self) -> Result<Arc<AccessTokens>, KeysUnavailable> {
        let tokens = self.tokens.get(Box::pin(self.read())).await;
        tokens.map_err(KeysUnavailable::Signing)
    }

    async fn read(&self) -> Result<AccessTokens, Box<dyn Error + Send + Sync>> {
        let client = self
            .client
            .get_or_init(|| async { aws_sdk_secretsmanager::Client::new(aws_config().await) })
            .await;
        let secret = client.get_secret_value().secret_id(&self.id).send().await?;
        let pem = secret.secret_string().unwrap_or_default();
        Ok(AccessTokens::new(SigningKey::from_pem(pem)?))
    }
}

/// The table that holds the public keys.
#[derive(Debug)]
pub struct PublicKeysTable {
    table: Table,
    keys: Cached<PublicKeys>,
    pause: Duration,
}

store::from_environment!(PublicKeysTable);

impl PublicKeysTable {
    /// The table that `PUBLIC_KEYS_TABLE` names. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self::new(Table::from_env("PUBLIC_KEYS_TABLE")?))
    }

    /// The public keys in this table.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self {
            table,
            keys: Cached::new(KEPT_FOR),
            pause: identity::UNKNOWN_KEY_PAUSE,
        }
    }

    /// The same, with this pause between reads for unknown keys.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same, caching the keys for this long.
    #[must_use]
    pub fn kept_for(self, time: Duration) -> Self {
        Self {
            keys: Cached::new(time),
            ..self
        }
    }

    /// The public keys.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn keys(&self) -> Result<Arc<PublicKeys>, KeysUnavailable> {
        let keys = self.keys.get(Box::pin(self.read())).await;
        keys.map_err(KeysUnavailable::Public)
    }

    /// The public keys to verify this token with. They are read again if the token names a key that
    /// is not among them, because it may be a new one.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn keys_for(&self, token: &str) -> Result<Arc<PublicKeys>, KeysUnavailable> {
        let keys = self.keys().await?;
        if !keys.lack_the_key_of(token) {
            return Ok(keys);
        }
        let keys = self.keys.get_newer(self.pause, Box::pin(self.read())).await;
        keys.map_err(KeysUnavailable::Public)
    }

    async fn read(&self) -> Result<PublicKeys, Box<dyn Error + Send + Sync>> {
        let id = AttributeValue::S(PublishedKeys::ID.to_owned());
        let found = self
            .table
            .client()
            .await
            .get_item()
            .table_name(self.table.name())
            .key("id", id)
            // A key is published before it signs, but its first tokens may come right afterwards.
            .consistent_read(true)
            .send()
            .await?;
        let item = found.item.ok_or("no keys have been published yet")?;
        let published: PublishedKeys = serde_dynamo::from_item(item)?;
        Ok(published.keys()?)
    }
}

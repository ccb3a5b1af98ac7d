//! The key that signs access tokens: the private half in Secrets Manager, which only the
//! functions that sign can read, and the public halves in a DynamoDB table for everybody who
//! verifies tokens.
//!
//! **A new key** is published, then written to the secret, then those before it are
//! retired. So whatever fails or ends in the middle, tokens are signed with a key that is
//! published and not retired. In between, everybody who verifies tokens gets the time to
//! learn of it.
//!
//! **Of several at the same time** one writes the secret: the value that succeeds a key has
//! a token of its own, and Secrets Manager takes one value per token. The published keys are
//! one item, which is only written in the place of the version that the new one was made of:
//! whoever comes too late looks at it again. Nobody is done before they find both as they
//! should be: the key in the secret is published, and all others are to retire. If somebody
//! else has retired that very key, there is no way back for it, and it is succeeded.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_dynamodb::{operation::put_item::PutItemError, types::AttributeValue};
use aws_sdk_secretsmanager::{
    self as secrets,
    operation::{get_secret_value::GetSecretValueError, put_secret_value::PutSecretValueError},
};
use identity::{PublicKeys, PublishedKeys, SigningKey};
use serde::Serialize;
use store::{SdkConfig, Table};

/// Names the secret's first value. Secrets Manager takes one value per token, so of two
/// calls at the same time only one can set it.
const FIRST_VALUE: &str = "patient-management-first-signing-key";

/// The key as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvisionedKey {
    /// Which key it is: the `kid` of the tokens that it signs.
    pub id: String,
    /// Whether it was made just now.
    pub created: bool,
}

/// How long a key's tokens are accepted after it was succeeded, in seconds: the signing
/// functions keep a key for five minutes, its tokens live for fifteen, clocks may be half a
/// minute apart, and the gateway keeps an authorizer's answer for another half.
const RETIRES_AFTER: i64 = 5 * 60 + identity::LIFETIME_SECONDS + 30 + 30;

/// How often the keys are looked at again that others change at the same time.
const ROUNDS: u32 = 20;

/// What to say after that.
const OTHERS_ARE_QUICKER: &str = "the keys keep being changed by somebody else; try again";

/// Makes a key unless there is one, and publishes its public half beside those of
/// earlier keys, whose tokens are still valid for a while.
///
/// # Errors
/// With the step that failed. Called again, it goes on from there.
pub async fn provide(
    aws: &SdkConfig,
    secret: &str,
    table: &Table,
) -> anyhow::Result<ProvisionedKey> {
    let keys = Keys::new(aws, secret, table, Duration::ZERO);
    let introduced = match keys.signer().await? {
        Some(_) => None,
        None => Some(keys.introduce(None).await?),
    };
    let retires_at = chrono::Utc::now().timestamp() + RETIRES_AFTER;
    let (signer, created) = keys.settle(introduced, retires_at).await?;
    Ok(ProvisionedKey {
        id: signer.id().to_owned(),
        created,
    })
}

/// The key that signs from now on, and the one that did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey {
    /// The `kid` of the tokens from now on.
    pub id: String,
    /// The `kid` of the tokens so far.
    pub succeeds: Option<String>,
    /// Until when those are accepted, in seconds since 1970.
    pub retires_at: i64,
}

/// Switches signing to the next key, which a concurrent call may have made. A key that
/// somebody else knows retires at once, and with it everybody's tokens. Any other waits until
/// the next one has been published for `known_after`, which is
/// [`identity::NEW_KEY_KNOWN_AFTER`] outside tests, so that no token is refused.
///
/// # Errors
/// With the step that failed. Called again, it goes on with another key.
pub async fn rotate(
    aws: &SdkConfig,
    secret: &str,
    table: &Table,
    compromised: bool,
    known_after: Duration,
) -> anyhow::Result<RotatedKey> {
    let known_after = if compromised {
        Duration::ZERO
    } else {
        known_after
    };
    let keys = Keys::new(aws, secret, table, known_after);
    let succeeds = keys.signer().await?;
    let introduced = keys.introduce(succeeds.as_ref()).await?;
    let now = chrono::Utc::now().timestamp();
    let retires_at = if compromised {
        now
    } else {
        now + RETIRES_AFTER
    };
    let (signer, _) = keys.settle(Some(introduced), retires_at).await?;
    Ok(RotatedKey {
        id: signer.id().to_owned(),
        succeeds: succeeds.map(|key| key.id().to_owned()),
        retires_at,
    })
}

/// Where the keys are.
struct Keys<'a> {
    secrets: secrets::Client,
    secret: &'a str,
    table: &'a Table,
    /// How long a new key is published before it signs.
    known_after: Duration,
}

/// The published keys as they were read.
struct Published {
    keys: PublicKeys,
    /// 0 if there are none yet.
    version: u64,
}

/// A key of ours that is published, and that was written to the secret unless somebody else
/// was quicker.
struct Introduced {
    id: String,
    succeeds: Option<String>,
}

impl<'a> Keys<'a> {
    fn new(aws: &SdkConfig, secret: &'a str, table: &'a Table, known_after: Duration) -> Self {
        Self {
            secrets: secrets::Client::new(aws),
            secret,
            table,
            known_after,
        }
    }

    /// The key that signs, or `None` for a secret that has no value yet.
    async fn signer(&self) -> anyhow::Result<Option<SigningKey>> {
        let request = self.secrets.get_secret_value().secret_id(self.secret);
        let value = match request.send().await {
            Ok(value) => value,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error).context("the secret cannot be read"),
        };
        let pem = value.secret_string().context("the secret has no text")?;
        Ok(Some(SigningKey::from_pem(pem)?))
    }

    /// Makes a key, publishes it, and has it sign after the one so far, unless somebody else
    /// was quicker: theirs counts.
    async fn introduce(&self, succeeds: Option<&SigningKey>) -> anyhow::Result<Introduced> {
        let (key, pem) = SigningKey::generate()?;
        self.publish_beside_others(&key).await?;
        tokio::time::sleep(self.known_after).await;

        // The identifier of a key has 43 characters, and a token 64 at most.
        let token = succeeds.map_or_else(
            || FIRST_VALUE.to_owned(),
            |key| format!("successor-of-{}", key.id()),
        );
        let put = self
            .secrets
            .put_secret_value()
            .secret_id(self.secret)
            .client_request_token(token)
            .secret_string(pem)
            .send()
            .await;
        match put {
            Err(error)
                if !error
                    .as_service_error()
                    .is_some_and(PutSecretValueError::is_resource_exists_exception) =>
            {
                Err(error).context("the secret cannot be written")
            }
            _ => Ok(Introduced {
                id: key.id().to_owned(),
                succeeds: succeeds.map(|key| key.id().to_owned()),
            }),
        }
    }

    /// Goes on until the key that signs is published, and all others are to retire at this
    /// time at the latest. Answers it, and whether it is the one that was introduced.
    async fn settle(
        &self,
        mut introduced: Option<Introduced>,
        others_retire_at: i64,
    ) -> anyhow::Result<(SigningKey, bool)> {
        for _ in 0..ROUNDS {
            let signer = self.signer().await?.context("the secret has no value")?;
            let is_succeeded = introduced
                .as_ref()
                .is_some_and(|key| key.succeeds.as_deref() == Some(signer.id()));
            ensure!(
                !is_succeeded,
                "the secret still has the key that was succeeded"
            );
            let published = self.published().await?;
            if published.keys.retires(signer.id()) {
                introduced = Some(self.introduce(Some(&signer)).await?);
                continue;
            }
            let wanted = published.keys.clone().signed_by(&signer, others_retire_at);
            if wanted == published.keys {
                let is_ours = introduced.is_some_and(|key| key.id == signer.id());
                return Ok((signer, is_ours));
            }
            // Written or not, both are looked at once more.
            self.replace(&published, &wanted).await?;
        }
        bail!(OTHERS_ARE_QUICKER)
    }

    /// Publishes this key, and leaves all others as they are.
    async fn publish_beside_others(&self, key: &SigningKey) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            let published = self.published().await?;
            let wanted = published.keys.clone().and(key.public_keys());
            if wanted == published.keys || self.replace(&published, &wanted).await? {
                return Ok(());
            }
        }
        bail!(OTHERS_ARE_QUICKER)
    }

    /// The published keys as they are now, not as they were a moment ago.
    async fn published(&self) -> anyhow::Result<Published> {
        let found = self
            .table
            .client()
            .await
            .get_item()
            .table_name(self.table.name())
            .key("id", AttributeValue::S(PublishedKeys::ID.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .context("the published keys cannot be read")?;
        let Some(item) = found.item else {
            return Ok(Published {
                keys: PublicKeys::default(),
                version: 0,
            });
        };
        let item: PublishedKeys = serde_dynamo::from_item(item)?;
        Ok(Published {
            keys: item.keys()?,
            version: item.version(),
        })
    }

    /// Publishes these keys in the place of those that were read. Answers `false` if somebody
    /// has published others since, and nothing has changed therefore: somebody else, or we
    /// ourselves, with a call that the client has repeated because no answer came.
    async fn replace(&self, published: &Published, keys: &PublicKeys) -> anyhow::Result<bool> {
        let next = PublishedKeys::after(published.version, keys);
        let put = self
            .table
            .client()
            .await
            .put_item()
            .table_name(self.table.name())
            .set_item(Some(serde_dynamo::to_item(next)?));
        let put = match published.version {
            0 => put.condition_expression("attribute_not_exists(id)"),
            version => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(error).context("the keys cannot be published"),
        }
    }
}

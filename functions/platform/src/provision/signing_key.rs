//! The key that signs access tokens: the private half in Secrets Manager, which only those
//! functions read that sign, and the public halves in a parameter for everybody who verifies
//! tokens.
//!
//! **A new key** is published, then written to the secret, then those before it are
//! retired. So whatever fails or ends in the middle, tokens are signed with a key that is
//! published and not retired.
//!
//! **Of several at the same time** one writes the secret: the value that succeeds a key has
//! a token of its own, and Secrets Manager takes one value per token. The parameter takes
//! every write; its versions tell whose was overwritten, and that is put back. Nobody is done
//! before they find both as they should be: the key in the secret is published, and all others
//! are to retire. If somebody else has retired that very key, there is no way back for it,
//! and it is succeeded.

use anyhow::{Context as _, bail, ensure};
use aws_sdk_secretsmanager::{
    self as secrets,
    operation::{get_secret_value::GetSecretValueError, put_secret_value::PutSecretValueError},
};
use aws_sdk_ssm::{self as parameters, operation::get_parameter::GetParameterError};
use identity::{PublicKeys, SigningKey};
use serde::Serialize;
use store::SdkConfig;

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

/// Makes a key unless there is one, and publishes its public half beside those of
/// earlier keys, whose tokens are still valid for a while.
///
/// # Errors
/// With the step that failed. Called again, it goes on from there.
pub async fn provide(
    aws: &SdkConfig,
    secret: &str,
    parameter: &str,
) -> anyhow::Result<ProvisionedKey> {
    let keys = Keys::new(aws, secret, parameter);
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

/// Has the next key sign, which somebody else may have made at the same time. A key that
/// somebody else knows retires at once, and with it everybody's tokens.
///
/// # Errors
/// With the step that failed. Called again, it goes on with another key.
pub async fn rotate(
    aws: &SdkConfig,
    secret: &str,
    parameter: &str,
    compromised: bool,
) -> anyhow::Result<RotatedKey> {
    let keys = Keys::new(aws, secret, parameter);
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
    parameters: parameters::Client,
    parameter: &'a str,
}

/// A key of ours that is published, and that was written to the secret unless somebody else
/// was quicker.
struct Introduced {
    id: String,
    succeeds: Option<String>,
}

impl<'a> Keys<'a> {
    fn new(aws: &SdkConfig, secret: &'a str, parameter: &'a str) -> Self {
        Self {
            secrets: secrets::Client::new(aws),
            secret,
            parameters: parameters::Client::new(aws),
            parameter,
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
        let (published, version) = self.published().await?;
        self.publish(published.and(key.public_keys()), version)
            .await?;

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
            let (published, version) = self.published().await?;
            if published.retires(signer.id()) {
                introduced = Some(self.introduce(Some(&signer)).await?);
                continue;
            }
            let wanted = published.clone().signed_by(&signer, others_retire_at);
            if wanted == published {
                let is_ours = introduced.is_some_and(|key| key.id == signer.id());
                return Ok((signer, is_ours));
            }
            self.publish(wanted, version).await?;
        }
        bail!("others change the keys all the time")
    }

    /// The published keys, and the parameter's version: 0 if there is no such parameter yet.
    async fn published(&self) -> anyhow::Result<(PublicKeys, i64)> {
        let answer = self.parameters.get_parameter().name(self.parameter);
        match answer.send().await {
            Ok(answer) => {
                let parameter = answer.parameter().context("the parameter is missing")?;
                let keys = PublicKeys::from_json(parameter.value().unwrap_or_default())?;
                Ok((keys, parameter.version()))
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetParameterError::is_parameter_not_found) =>
            {
                Ok((PublicKeys::default(), 0))
            }
            Err(error) => Err(error).context("the parameter cannot be read"),
        }
    }

    /// Writes the keys that were made of the parameter's version `read`, with what others
    /// have written since: no version is overwritten that is not in the next one.
    async fn publish(&self, mut keys: PublicKeys, mut read: i64) -> anyhow::Result<()> {
        loop {
            let written = self.put(&keys).await?;
            if written <= read + 1 {
                return Ok(());
            }
            let mut both = keys.clone();
            for version in read + 1..written {
                both = both.and(self.published_in(version).await?);
            }
            if both == keys {
                return Ok(());
            }
            keys = both;
            read = written;
        }
    }

    async fn published_in(&self, version: i64) -> anyhow::Result<PublicKeys> {
        let name = format!("{}:{version}", self.parameter);
        let answer = self.parameters.get_parameter().name(name).send().await;
        let answer = answer.context("a version of the parameter cannot be read")?;
        let parameter = answer.parameter().context("the parameter is missing")?;
        Ok(PublicKeys::from_json(
            parameter.value().unwrap_or_default(),
        )?)
    }

    /// Answers the version.
    async fn put(&self, keys: &PublicKeys) -> anyhow::Result<i64> {
        let written = self
            .parameters
            .put_parameter()
            .name(self.parameter)
            .value(keys.to_json())
            .r#type(parameters::types::ParameterType::String)
            .overwrite(true)
            .send()
            .await
            .context("the parameter cannot be written")?;
        Ok(written.version())
    }
}

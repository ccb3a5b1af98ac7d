//! The key that signs access tokens: the private half in Secrets Manager, where only
//! the login function reads it, and the public halves in a parameter for everybody who
//! verifies tokens.

use anyhow::Context as _;
use aws_sdk_secretsmanager::{
    self as secrets,
    operation::{get_secret_value::GetSecretValueError, put_secret_value::PutSecretValueError},
};
use aws_sdk_ssm::{
    self as parameters, operation::get_parameter::GetParameterError, types::Parameter,
};
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

/// Makes a key unless there is one, and publishes its public half beside those of
/// earlier keys, whose tokens are still valid.
pub(crate) async fn provide(
    aws: &SdkConfig,
    secret: &str,
    parameter: &str,
) -> anyhow::Result<ProvisionedKey> {
    let secrets = secrets::Client::new(aws);
    let (key, created) = match read(&secrets, secret).await? {
        Some(key) => (key, false),
        None => create(&secrets, secret).await?,
    };
    publish(&parameters::Client::new(aws), parameter, key.public_keys()).await?;
    Ok(ProvisionedKey {
        id: key.id().to_owned(),
        created,
    })
}

/// The key, or `None` for a secret that has no value yet.
async fn read(secrets: &secrets::Client, secret: &str) -> anyhow::Result<Option<SigningKey>> {
    let answer = secrets.get_secret_value().secret_id(secret).send().await;
    let value = match answer {
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

/// Makes a key and keeps it, unless somebody else was quicker: theirs counts.
async fn create(secrets: &secrets::Client, secret: &str) -> anyhow::Result<(SigningKey, bool)> {
    let (key, pem) = SigningKey::generate()?;
    let put = secrets
        .put_secret_value()
        .secret_id(secret)
        .client_request_token(FIRST_VALUE)
        .secret_string(pem)
        .send()
        .await;
    if let Err(error) = put {
        let too_late = error
            .as_service_error()
            .is_some_and(PutSecretValueError::is_resource_exists_exception);
        if !too_late {
            return Err(error).context("the secret cannot be written");
        }
    }
    let kept = read(secrets, secret)
        .await?
        .context("the secret has no value although it was written")?;
    let created = kept.id() == key.id();
    Ok((kept, created))
}

/// How long a key's tokens are accepted after it was succeeded, in seconds: the signing
/// functions keep a key for five minutes, its tokens live for fifteen, clocks may be half a
/// minute apart, and the gateway keeps an authorizer's answer for another half.
const RETIRES_AFTER: i64 = 5 * 60 + identity::LIFETIME_SECONDS + 30 + 30;

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

/// Makes the next key. Its public half is published before anything is signed with it. A
/// key that somebody else knows retires at once, and with it everybody's tokens.
///
/// # Errors
/// With the step that failed. Called again, it goes on with another key.
pub async fn rotate(
    aws: &SdkConfig,
    secret: &str,
    parameter: &str,
    compromised: bool,
) -> anyhow::Result<RotatedKey> {
    let (secrets, parameters) = (secrets::Client::new(aws), parameters::Client::new(aws));
    let succeeds = read(&secrets, secret).await?.map(|key| key.id().to_owned());
    let (next, pem) = SigningKey::generate()?;
    let now = chrono::Utc::now().timestamp();
    let retires_at = if compromised {
        now
    } else {
        now + RETIRES_AFTER
    };
    let published = published(&parameters, parameter).await?;
    let keys = match published {
        Some(published) => published.succeeded_by(&next, retires_at),
        None => next.public_keys(),
    };
    put(&parameters, parameter, &keys).await?;
    secrets
        .put_secret_value()
        .secret_id(secret)
        .secret_string(pem)
        .send()
        .await
        .context("the secret cannot be written")?;
    Ok(RotatedKey {
        id: next.id().to_owned(),
        succeeds,
        retires_at,
    })
}

/// Adds the keys to those in the parameter.
async fn publish(
    parameters: &parameters::Client,
    parameter: &str,
    keys: PublicKeys,
) -> anyhow::Result<()> {
    let published = published(parameters, parameter).await?;
    let wanted = match &published {
        Some(published) => published.clone().and(keys),
        None => keys,
    };
    if published.as_ref() == Some(&wanted) {
        return Ok(());
    }
    put(parameters, parameter, &wanted).await
}

/// The keys in the parameter, or `None` if there is no such parameter yet.
async fn published(
    parameters: &parameters::Client,
    parameter: &str,
) -> anyhow::Result<Option<PublicKeys>> {
    let answer = parameters.get_parameter().name(parameter).send().await;
    match answer {
        Ok(answer) => {
            let value = answer.parameter().and_then(Parameter::value);
            Ok(value.map(PublicKeys::from_json).transpose()?)
        }
        Err(error)
            if error
                .as_service_error()
                .is_some_and(GetParameterError::is_parameter_not_found) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).context("the parameter cannot be read"),
    }
}

async fn put(
    parameters: &parameters::Client,
    parameter: &str,
    keys: &PublicKeys,
) -> anyhow::Result<()> {
    parameters
        .put_parameter()
        .name(parameter)
        .value(keys.to_json())
        .r#type(parameters::types::ParameterType::String)
        .overwrite(true)
        .send()
        .await
        .context("the parameter cannot be written")?;
    Ok(())
}

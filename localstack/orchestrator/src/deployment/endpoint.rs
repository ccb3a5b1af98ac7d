//! LocalStack's own answers, asked for without a start of `aws`, which takes a second.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::aws::REGION;

/// Transforming a template takes seconds, on a busy machine many.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much of an error is shown. LocalStack repeats what it does not like, which may be the
/// whole template.
const SHOWN: usize = 300;

/// What LocalStack's refusals of what is asked begin with, where it is the template that is wrong.
const MISTAKES: [&str; 2] = ["Template", "Parameters"];

/// What is wrong with a template. Beginning anew would not help.
#[derive(Debug)]
pub(super) struct Mistake(pub(super) String);

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(reason) = self;
        write!(formatter, "template.yaml is refused: {reason}")
    }
}

impl std::error::Error for Mistake {}

/// One LocalStack, as a client of AWS sees it.
pub(super) struct Endpoint<'a> {
    url: &'a str,
    agent: Agent,
}

impl<'a> Endpoint<'a> {
    pub(super) fn new(url: &'a str) -> Self {
        let configuration = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None);
        Self {
            url,
            agent: configuration.build().into(),
        }
    }

    /// A URL below LocalStack's.
    pub(super) fn url_of(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What a service answers that goes by paths.
    pub(super) fn get(&self, service: &str, path: &str) -> Result<Value> {
        let asked = self.agent.get(self.url_of(path));
        let answer = asked.header("Authorization", credential(service)).call();
        let mut answer = answer.with_context(|| format!("{service} does not answer"))?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{service} answers {status} to {path}");
        }
        Ok(answer.body_mut().read_json()?)
    }

    /// Puts a file into a bucket.
    pub(super) fn put_object(&self, path: &str, content: &str) -> Result<()> {
        let put = self.agent.put(self.url_of(path));
        let answer = put.header("Authorization", credential("s3")).send(content);
        let status = answer.context("S3 does not answer")?.status();
        if !status.is_success() {
            bail!("S3 answers {status} to {path}");
        }
        Ok(())
    }

    /// Stores a secret: a new one, or another value of the one with this name.
    pub(super) fn store_secret(&self, name: &str, value: &str) -> Result<()> {
        // Names the version: a repeated request with it changes nothing.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let version = format!("{:032x}", now.as_nanos());
        let created = self.secrets_manager(
            "CreateSecret",
            &json!({ "Name": name, "SecretString": value, "ClientRequestToken": version }),
        )?;
        if created.is_success() {
            return Ok(());
        }
        let replaced = self.secrets_manager(
            "PutSecretValue",
            &json!({ "SecretId": name, "SecretString": value, "ClientRequestToken": version }),
        )?;
        if !replaced.is_success() {
            bail!("Secrets Manager does not take {name}: {created}, {replaced}");
        }
        Ok(())
    }

    fn secrets_manager(&self, action: &str, input: &Value) -> Result<StatusCode> {
        let asked = self
            .agent
            .post(self.url_of("/"))
            .header("Authorization", credential("secretsmanager"))
            .header("X-Amz-Target", format!("secretsmanager.{action}"))
            .header("Content-Type", "application/x-amz-json-1.1");
        let answer = asked.send(input.to_string());
        Ok(answer.context("Secrets Manager does not answer")?.status())
    }

    /// Has `CloudFormation` do something, and returns the result.
    pub(super) fn cloud_formation(
        &self,
        action: &str,
        arguments: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Value> {
        let version = ("Version".to_owned(), "2010-05-15".to_owned());
        let form = [("Action".to_owned(), action.to_owned()), version];
        let answer = self
            .agent
            .post(self.url_of("/"))
            .header("Authorization", credential("cloudformation"))
            .header("Accept", "application/json")
            .send_form(form.into_iter().chain(arguments));
        let answer = answer.context("CloudFormation does not answer")?;
        let answer = successful(action, answer)?;
        Ok(answer[format!("{action}Response")][format!("{action}Result")].clone())
    }
}

fn successful(action: &str, mut answer: Response<Body>) -> Result<Value> {
    let status = answer.status();
    let document = answer
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_json::<Value>()
        .with_context(|| format!("CloudFormation does not answer JSON to {action}"))?;
    if status.is_success() {
        return Ok(document);
    }
    let message = document["ErrorResponse"]["Error"]["Message"].as_str();
    let message: String = message.unwrap_or("no reason").chars().take(SHOWN).collect();
    if status.is_client_error() && MISTAKES.iter().any(|words| message.starts_with(words)) {
        return Err(Mistake(message).into());
    }
    Err(anyhow!("{action} is refused: {message}"))
}

/// Says which service a call is for. LocalStack does not look at the signature.
fn credential(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20200101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}

/// The members of a list. What is in a list alone stands there without one.
pub(super) fn members(list: &Value) -> Vec<&Value> {
    match &list["member"] {
        Value::Null => Vec::new(),
        Value::Array(members) => members.iter().collect(),
        member => vec![member],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_their_members_whatever_their_form() {
        assert!(members(&Value::Null).is_empty());
        assert!(members(&json!("")).is_empty());
        assert_eq!(members(&json!({ "member": { "a": 1 } })).len(), 1);
        assert_eq!(members(&json!({ "member": [{ "a": 1 }, {}] })).len(), 2);
    }
}

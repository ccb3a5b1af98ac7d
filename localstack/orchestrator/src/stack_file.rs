//! `stack.json`: where everything is, for people and scripts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::deployment::REGION;
use crate::endpoints::Endpoints;
use crate::files;
use crate::provisioning::DEMO_USERS;
use crate::service::Service;
use crate::settings::Settings;

/// A stack that is up.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackFile {
    /// The API.
    pub api_url: String,
    /// The page that documents it.
    pub docs_url: String,
    /// AWS.
    pub localstack_url: String,
    /// The database, as the role that owns it, with its password.
    pub database_url: String,
    /// The brokers, separated by commas.
    pub kafka_bootstrap_servers: String,
    /// The gRPC service.
    pub billing_url: String,
    /// The token that it wants.
    pub billing_token: String,
    /// The AWS region.
    pub aws_region: String,
    /// The name of the `CloudFormation` stack.
    pub stack_name: String,
    /// The processes that this stack has started.
    pub pids: BTreeMap<String, u32>,
    /// Who may log in.
    pub users: Vec<User>,
}

/// Somebody who may log in.
#[derive(Debug, Serialize, Deserialize)]
pub struct User {
    /// Who.
    pub email: String,
    /// What they type.
    pub password: String,
    /// What they may do.
    pub role: String,
}

impl StackFile {
    /// Describes a stack whose API is at `api_url`.
    #[must_use]
    pub fn new(
        settings: &Settings,
        endpoints: &Endpoints,
        api_url: &str,
        pids: &BTreeMap<Service, u32>,
    ) -> Self {
        Self {
            api_url: api_url.to_owned(),
            docs_url: format!("{api_url}/docs"),
            localstack_url: endpoints.localstack_url.clone(),
            database_url: endpoints.database_url.clone(),
            kafka_bootstrap_servers: endpoints.kafka_bootstrap_servers.clone(),
            billing_url: endpoints.billing_url.clone(),
            billing_token: endpoints.billing_token.clone(),
            aws_region: REGION.to_owned(),
            stack_name: settings.stack_name.clone(),
            pids: pids
                .iter()
                .map(|(service, pid)| (service.name().to_owned(), *pid))
                .collect(),
            users: DEMO_USERS
                .iter()
                .map(|user| User {
                    email: user.email.to_owned(),
                    password: user.password.to_owned(),
                    role: user.role.to_owned(),
                })
                .collect(),
        }
    }

    /// The file of the stack.
    #[must_use]
    pub fn path(settings: &Settings) -> PathBuf {
        settings.directory.join("stack.json")
    }

    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, settings: &Settings) -> Result<()> {
        files::replace_json(&Self::path(settings), self)
    }

    /// # Errors
    /// If there is no stack that is up.
    pub fn read(settings: &Settings) -> Result<Self> {
        let path = Self::path(settings);
        files::read_json(&path)?
            .with_context(|| format!("there is no {}: the stack is not up", path.display()))
    }

    /// What a program needs in its environment to work with the stack.
    #[must_use]
    pub fn environment(&self, settings: &Settings) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("API_URL", self.api_url.clone()),
            ("DOCS_URL", self.docs_url.clone()),
            ("DATABASE_URL", self.database_url.clone()),
            (
                "KAFKA_BOOTSTRAP_SERVERS",
                self.kafka_bootstrap_servers.clone(),
            ),
            ("BILLING_URL", self.billing_url.clone()),
            ("BILLING_TOKEN", self.billing_token.clone()),
            // Tests of a single service want this one said, so that none goes to AWS.
            ("AWS_ENDPOINT_URL_DYNAMODB", self.localstack_url.clone()),
            ("STACK_NAME", self.stack_name.clone()),
            ("STACK_DIR", settings.directory.display().to_string()),
            ("STACK_FILE", Self::path(settings).display().to_string()),
        ];
        environment.extend(
            crate::deployment::environment(&self.localstack_url)
                .map(|(name, value)| (name, value.to_owned())),
        );
        environment
    }
}

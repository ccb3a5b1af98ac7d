//! The running stack, as `stack.json` describes it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use identity::Role;
use serde::Deserialize;

/// A stack that is up.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// The API.
    pub api_url: String,
    /// The page that documents it.
    pub docs_url: String,
    /// AWS.
    pub localstack_url: String,
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
    /// The processes of the services, by name.
    pub pids: BTreeMap<String, i32>,
    /// Who may log in, the administrator first.
    pub users: Vec<User>,
    #[serde(skip)]
    directory: PathBuf,
}

/// Somebody who may log in.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// Who.
    pub email: String,
    /// What they type.
    pub password: String,
    /// What they may do.
    pub role: Role,
}

/// There is no stack to work with.
#[derive(Debug, thiserror::Error)]
pub enum NoStack {
    /// Nobody said which.
    #[error(
        "STACK_FILE does not name a stack. Bring one up with `make up`, and run this with its \
         environment: cargo run --package local-stack -- exec <command>"
    )]
    NotNamed,
    /// The file is not there.
    #[error("there is no stack that is up: {} cannot be read ({reason})", .path.display())]
    NotUp {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The file is not as the orchestrator writes it.
    #[error("{} does not describe a stack: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: serde_json::Error,
    },
}

impl Stack {
    /// The stack that `STACK_FILE` names.
    ///
    /// # Errors
    /// If there is none, with what to do about it.
    pub fn from_env() -> Result<Self, NoStack> {
        let path = env::var_os("STACK_FILE").filter(|path| !path.is_empty());
        Self::read(Path::new(&path.ok_or(NoStack::NotNamed)?))
    }

    fn read(path: &Path) -> Result<Self, NoStack> {
        let unreadable = |reason| NoStack::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let content = fs::read(path).map_err(|reason| NoStack::NotUp {
            path: path.to_owned(),
            reason,
        })?;
        let stack: Self = serde_json::from_slice(&content).map_err(unreadable)?;
        Ok(Self {
            directory: path.parent().unwrap_or(Path::new(".")).to_owned(),
            ..stack
        })
    }

    /// The stack as the tests expect it to be there.
    #[must_use]
    pub fn running() -> Self {
        Self::from_env().unwrap_or_else(|missing| panic!("{missing}"))
    }

    /// The demo user of this role.
    #[must_use]
    pub fn user(&self, role: Role) -> &User {
        let mut users = self.users.iter();
        users
            .find(|user| user.role == role)
            .unwrap_or_else(|| panic!("the stack has no user of the role {role}"))
    }

    /// The folder of everything that belongs to the stack alone.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The folder of all logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// What a function is called once it is deployed.
    #[must_use]
    pub fn function_name(&self, function: &str) -> String {
        format!("{}-{function}", self.stack_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_is_not_up_is_said_so() {
        let missing = Stack::read(Path::new("/nowhere/stack.json")).unwrap_err();
        assert!(matches!(missing, NoStack::NotUp { .. }), "{missing}");
    }
}

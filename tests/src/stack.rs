//! The running stack, as `stack.json` describes it.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use identity::Role;
use serde::Deserialize;

/// A running stack.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// The URL of the API.
    pub api_url: String,
    /// The URL of its documentation.
    pub docs_url: String,
    /// The URL of LocalStack.
    pub localstack_url: String,
    /// The URL of the billing service.
    pub billing_url: String,
    /// The token that it requires.
    pub billing_token: String,
    /// The AWS region.
    pub aws_region: String,
    /// The name of the `CloudFormation` stack.
    pub stack_name: String,
    /// The processes of the services, by name.
    pub pids: BTreeMap<String, i32>,
    /// The demo users, the administrator first.
    pub users: Vec<User>,
    #[serde(skip)]
    directory: PathBuf,
}

/// A demo user.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// The role.
    pub role: Role,
}

/// There is no running stack.
#[derive(Debug, thiserror::Error)]
pub enum NoStack {
    /// `STACK_FILE` is not set.
    #[error(
        "STACK_FILE does not name a stack. Bring one up with `make up`, and run this with its \
         environment: cargo run --package local-stack -- exec <command>"
    )]
    NotNamed,
    /// The file cannot be read.
    #[error("there is no running stack: {} cannot be read ({reason})", .path.display())]
    NotUp {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
    /// The file is malformed.
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
    /// If there is none, with instructions.
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

    /// The running stack, which the tests require.
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
            .unwrap_or_else(|| panic!("the stack has no user with the role {role}"))
    }

    /// The folder with everything that belongs to this stack only.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The folder of all logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.directory.join("logs")
    }

    /// The name of the deployed function.
    #[must_use]
    pub fn function_name(&self, function: &str) -> String {
        format!("{}-{function}", self.stack_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_that_is_not_running_is_reported() {
        let missing = Stack::read(Path::new("/nowhere/stack.json")).unwrap_err();
        assert!(matches!(missing, NoStack::NotUp { .. }), "{missing}");
    }
}

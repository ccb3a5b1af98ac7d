//! Changing what is deployed to what a template says, with a change set of `CloudFormation`.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::aws::BUCKET;
use super::change::Change;
use super::endpoint::{Endpoint, members};
use crate::progress::Step;

/// Between two looks at what is being changed.
const POLL: Duration = Duration::from_millis(50);

/// What LocalStack says of a template that is like the one before.
const NOTHING_CHANGES: &str = "didn't contain changes";

/// Changes that have been thought through, and not been made.
pub(super) struct ChangeSet<'a> {
    endpoint: &'a Endpoint<'a>,
    stack_name: &'a str,
    name: String,
    pub(super) changes: Vec<Change>,
}

impl<'a> ChangeSet<'a> {
    /// Has LocalStack find out what would change.
    ///
    /// # Errors
    /// If it does not take the template, or was cancelled.
    pub(super) fn create(
        step: &Step<'_>,
        endpoint: &'a Endpoint<'a>,
        stack_name: &'a str,
        template: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<Self> {
        // As SAM does it: the template is larger than a call may be.
        let object = format!("/{BUCKET}/{stack_name}/changed.template");
        endpoint.put_object(&object, template)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut set = Self {
            endpoint,
            stack_name,
            name: format!("change-{}", now.unwrap_or_default().as_nanos()),
            changes: Vec::new(),
        };
        let url = endpoint.url_of(&object);
        let fixed = [
            ("ChangeSetType", "UPDATE"),
            ("TemplateURL", &url),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
            ("Capabilities.member.2", "CAPABILITY_AUTO_EXPAND"),
        ];
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = parameters
            .iter()
            .enumerate()
            .flat_map(|(index, (name, value))| {
                let parameter = format!("Parameters.member.{}", index + 1);
                [
                    (format!("{parameter}.ParameterKey"), (*name).to_owned()),
                    (format!("{parameter}.ParameterValue"), value.clone()),
                ]
            });
        set.call("CreateChangeSet", fixed.into_iter().chain(parameters))?;
        set.changes = set.await_changes(step)?;
        Ok(set)
    }

    fn await_changes(&self, step: &Step<'_>) -> Result<Vec<Change>> {
        loop {
            let values = [("IncludePropertyValues".to_owned(), "true".to_owned())];
            let set = self.call("DescribeChangeSet", values)?;
            match set["Status"].as_str() {
                Some("CREATE_COMPLETE") => {
                    let changes = members(&set["Changes"]).into_iter().map(|change| {
                        Change::read(change).context("LocalStack names a change of a new kind")
                    });
                    return changes.collect();
                }
                Some("FAILED") => {
                    let reason = set["StatusReason"]
                        .as_str()
                        .unwrap_or("it does not say why");
                    if reason.contains(NOTHING_CHANGES) {
                        return Ok(Vec::new());
                    }
                    bail!("LocalStack does not see what changes: {reason}");
                }
                _ => step.check()?,
            }
            thread::sleep(POLL);
        }
    }

    /// Makes the changes, and returns the stack as it is described then.
    ///
    /// # Errors
    /// If one fails, or if it was cancelled. What there is then is neither the one nor the other.
    pub(super) fn execute(&self, step: &Step<'_>) -> Result<Value> {
        if !self.changes.is_empty() {
            self.call("ExecuteChangeSet", [])?;
        }
        loop {
            let stacks = self.call("DescribeStacks", [])?;
            let stacks = members(&stacks["Stacks"]);
            let stack = stacks.first().context("LocalStack has no such stack")?;
            match stack["StackStatus"].as_str() {
                Some("UPDATE_COMPLETE" | "CREATE_COMPLETE") => return Ok((*stack).clone()),
                Some(status) if status.ends_with("_IN_PROGRESS") => step.check()?,
                status => bail!("LocalStack ended with {}", status.unwrap_or("no status")),
            }
            thread::sleep(POLL);
        }
    }

    fn call(
        &self,
        action: &str,
        arguments: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Value> {
        let names = [
            ("StackName".to_owned(), self.stack_name.to_owned()),
            ("ChangeSetName".to_owned(), self.name.clone()),
        ];
        // The description of a stack takes no other name.
        let names = names
            .into_iter()
            .take(if action == "DescribeStacks" { 1 } else { 2 });
        self.endpoint
            .cloud_formation(action, names.chain(arguments))
    }
}

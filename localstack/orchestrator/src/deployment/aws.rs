//! The commands of AWS, pointed at LocalStack and at nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cache::{PythonEnvironment, python_command};
use crate::files;
use crate::tool::Tool;

/// The region that everything is deployed to.
pub const REGION: &str = "us-east-1";

/// Runs `aws` and `sam` against one LocalStack.
pub struct Aws<'a> {
    /// Where LocalStack is.
    pub endpoint: &'a str,
    /// Has `aws`.
    pub localstack: &'a PythonEnvironment,
    /// Has `sam`.
    pub tools: &'a PythonEnvironment,
}

/// What makes every AWS client talk to LocalStack.
pub fn environment(endpoint: &str) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
    .into_iter()
}

impl Aws<'_> {
    /// Creates or updates the whole `CloudFormation` stack.
    ///
    /// # Errors
    /// If it fails; the log has the events.
    pub fn sam_deploy(
        &self,
        tool: &Tool<'_>,
        template: &Path,
        stack_name: &str,
        parameters: &[(&str, String)],
    ) -> Result<()> {
        let folder = template.parent().unwrap_or(Path::new("."));
        let mut command = self.command(&self.tools.program("sam"));
        command
            .arg("deploy")
            // Away from the repository, whose samconfig.toml is for people.
            .current_dir(folder)
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_CHECK_LATEST_VERSION", "0")
            .args(["--template-file".as_ref(), template.as_os_str()])
            .args([
                "--stack-name",
                stack_name,
                "--region",
                REGION,
                "--resolve-s3",
            ])
            .args([
                "--capabilities",
                "CAPABILITY_IAM",
                "CAPABILITY_NAMED_IAM",
                "CAPABILITY_AUTO_EXPAND",
            ])
            .args([
                "--no-confirm-changeset",
                "--no-fail-on-empty-changeset",
                "--no-progressbar",
            ]);
        if !parameters.is_empty() {
            command.arg("--parameter-overrides");
            command.args(
                parameters
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            );
        }
        tool.run(&mut command)
    }

    /// The outputs of the stack.
    ///
    /// # Errors
    /// If there is no such stack.
    pub fn stack_outputs(
        &self,
        tool: &Tool<'_>,
        stack_name: &str,
    ) -> Result<BTreeMap<String, String>> {
        let answer = tool.capture(&mut self.aws([
            "cloudformation",
            "describe-stacks",
            "--stack-name",
            stack_name,
        ]))?;
        let answer: Value =
            serde_json::from_str(&answer).context("aws did not answer with JSON")?;
        let outputs = answer["Stacks"][0]["Outputs"]
            .as_array()
            .into_iter()
            .flatten();
        Ok(outputs
            .filter_map(|output| {
                let key = output["OutputKey"].as_str()?;
                let value = output["OutputValue"].as_str()?;
                Some((key.to_owned(), value.to_owned()))
            })
            .collect())
    }

    /// Replaces the code of a function by what is in the folder, and waits until new
    /// invocations get it.
    ///
    /// # Errors
    /// If the function is not there, or does not take the code.
    pub fn update_code(&self, tool: &Tool<'_>, function: &str, folder: &Path) -> Result<()> {
        let archive = folder.with_extension("zip");
        tool.run(
            python_command(&self.localstack.python())
                .args(["-m", "zipfile", "-c"])
                .arg(&archive)
                .arg(folder.join("bootstrap")),
        )?;
        let mut update = self.aws([
            "lambda",
            "update-function-code",
            "--function-name",
            function,
        ]);
        update
            .arg("--zip-file")
            .arg(format!("fileb://{}", archive.display()));
        tool.run(&mut update)?;
        files::remove(&archive)?;
        tool.run(&mut self.aws([
            "lambda",
            "wait",
            "function-updated-v2",
            "--function-name",
            function,
        ]))
    }

    /// Calls a function and returns what it answers.
    ///
    /// # Errors
    /// If the function fails, with its own words.
    pub fn invoke(&self, tool: &Tool<'_>, function: &str, payload: &Path) -> Result<Value> {
        let answer = payload.with_extension("answer.json");
        let mut invoke = self.aws([
            "lambda",
            "invoke",
            "--cli-read-timeout",
            "300",
            "--function-name",
            function,
        ]);
        invoke
            .arg("--payload")
            .arg(format!("file://{}", payload.display()))
            .arg(&answer);
        let outcome = tool.capture(&mut invoke);
        let content = std::fs::read(&answer);
        files::remove(&answer)?;
        let outcome: Value =
            serde_json::from_str(&outcome?).context("aws did not answer with JSON")?;
        let content: Value = serde_json::from_slice(&content?)
            .with_context(|| format!("{function} did not answer with JSON"))?;
        if outcome.get("FunctionError").is_some() {
            let message = content["errorMessage"].as_str().unwrap_or("no message");
            return Err(tool.failure(format!("{function} failed: {message}")).into());
        }
        Ok(content)
    }

    fn aws<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.command(&self.localstack.program("aws"));
        command.args(arguments).args(["--output", "json"]);
        command
    }

    /// The user's own accounts, profiles and regions must not come into it.
    fn command(&self, program: &Path) -> Command {
        let mut command = python_command(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") && name != OsStr::new("AWS_CA_BUNDLE") {
                command.env_remove(name);
            }
        }
        command
            .envs(environment(self.endpoint))
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_PAGER", "");
        command
    }
}

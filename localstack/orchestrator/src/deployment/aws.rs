//! The commands of AWS, pointed at LocalStack and at nothing else.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::{PythonEnvironment, python_command};
use crate::cancellation::Cancelled;
use crate::files;
use crate::progress::Step;
use crate::readiness;
use crate::tool::Tool;

/// The region that everything is deployed to.
pub const REGION: &str = "us-east-1";

/// Between two looks at a function that is taking its new code.
const POLL: Duration = Duration::from_millis(20);

/// Where SAM puts the code and the template for `CloudFormation`.
pub(super) const BUCKET: &str = "deployments";

/// The name of the bucket that stands for the disk that LocalStack and this program share:
/// <https://docs.localstack.cloud/aws/tooling/lambda-tools/hot-reloading/>.
const IN_PLACE: &str = "hot-reload";

/// How LocalStack gets the code of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It runs the code where it has been built. Zipping, uploading, storing and unpacking
    /// twenty functions would take most of a deployment's time.
    InPlace,
    /// As on AWS, for a LocalStack that may be on another machine or in a container.
    Uploaded,
}

impl Delivery {
    /// What the template says about the code in a folder.
    pub(super) fn code_uri(self, folder: &Path) -> Value {
        match self {
            Self::InPlace => json!({ "Bucket": IN_PLACE, "Key": folder }),
            Self::Uploaded => json!(folder),
        }
    }
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "OutputKey")]
    key: String,
    #[serde(rename = "OutputValue")]
    value: String,
}

/// Runs `aws` and `sam` against one LocalStack.
pub struct Aws<'a> {
    /// Where LocalStack is.
    pub endpoint: &'a str,
    /// Has `aws`.
    pub localstack: &'a PythonEnvironment,
    /// Has `sam`.
    pub sam: &'a PythonEnvironment,
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
        parameters: &Path,
    ) -> Result<()> {
        // SAM could create one, with a stack of its own, and would wait long for it.
        tool.run(self.aws("s3api create-bucket --bucket").arg(BUCKET))?;
        let mut deploy = self.command(&self.sam.program("sam"));
        deploy
            .args("deploy --no-confirm-changeset --no-fail-on-empty-changeset".split(' '))
            .args("--no-progressbar --capabilities CAPABILITY_IAM".split(' '))
            .args(["--region", REGION, "--stack-name", stack_name])
            .args(["--s3-bucket", BUCKET, "--s3-prefix", stack_name])
            .args(["--template-file".as_ref(), template.as_os_str()])
            // Away from the repository, whose samconfig.toml is for people.
            .current_dir(template.parent().unwrap_or(Path::new(".")))
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_CHECK_LATEST_VERSION", "0")
            // Seconds between two looks at what is being created.
            .env("SAM_CLI_POLL_DELAY", "1");
        deploy
            .arg("--parameter-overrides")
            .arg(format!("file://{}", parameters.display()));
        tool.run(&mut deploy).map_err(|failure| {
            if failure.is::<Cancelled>() {
                return failure;
            }
            let reasons = self
                .reasons_of_failure(tool, stack_name)
                .unwrap_or_default();
            if reasons.is_empty() {
                failure
            } else {
                tool.failure(reasons.join("\n")).into()
            }
        })
    }

    /// Which resources have failed and why, if it came so far.
    fn reasons_of_failure(&self, tool: &Tool<'_>, stack_name: &str) -> Result<Vec<String>> {
        const FAILED: &str = "StackEvents[?ends_with(ResourceStatus, '_FAILED') && ResourceStatusReason]\
            .[LogicalResourceId, ResourceStatusReason]";
        let mut describe = self.aws("cloudformation describe-stack-events");
        describe.args(["--stack-name", stack_name, "--query", FAILED]);
        let answer = tool.capture(&mut describe)?;
        let events: Vec<[String; 2]> = serde_json::from_str(&answer)?;
        Ok(events
            .into_iter()
            .map(|[resource, reason]| format!("{resource}: {reason}"))
            .collect())
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
        let mut describe = self.aws("cloudformation describe-stacks --query Stacks[0].Outputs");
        let answer = tool.capture(describe.args(["--stack-name", stack_name]))?;
        let outputs: Vec<Output> =
            serde_json::from_str(&answer).context("the stack has no outputs")?;
        let outputs = outputs.into_iter();
        Ok(outputs.map(|output| (output.key, output.value)).collect())
    }

    /// Replaces the code of a function by what is in the folder.
    ///
    /// # Errors
    /// If the function is not there, or does not take the code.
    pub(super) fn update_code(
        &self,
        tool: &Tool<'_>,
        function: &str,
        delivery: Delivery,
        folder: &Path,
    ) -> Result<()> {
        match delivery {
            // A start of `aws` takes a second, and all functions change at once.
            Delivery::InPlace => readiness::put_json(
                &format!("{}/code", self.url_of(function)),
                &json!({ "S3Bucket": IN_PLACE, "S3Key": folder }),
            )
            .map_err(|error| anyhow!(error)),
            Delivery::Uploaded => {
                let archive = folder.with_extension("zip");
                let mut zip = python_command(&self.localstack.python());
                zip.args(["-m", "zipfile", "-c"]);
                tool.run(zip.arg(&archive).arg(folder.join("bootstrap")))?;
                // Of the answer, which has the function's environment and so secrets, one field.
                let mut update = self.aws("lambda update-function-code --query CodeSha256");
                update
                    .args(["--function-name", function, "--zip-file"])
                    .arg(format!("fileb://{}", archive.display()));
                tool.run(&mut update)?;
                files::remove(&archive)
            }
        }
    }

    /// Waits until new invocations get the code.
    ///
    /// # Errors
    /// If the function does not take it.
    pub(super) fn await_update(&self, step: &Step<'_>, function: &str) -> Result<()> {
        loop {
            step.check()?;
            let answer =
                readiness::get_json(&self.url_of(function)).map_err(|error| anyhow!(error))?;
            let configuration = &answer["Configuration"];
            match configuration["LastUpdateStatus"].as_str() {
                Some("InProgress") => thread::sleep(POLL),
                Some("Failed") => bail!(
                    "{function} does not take its new code: {}",
                    configuration["LastUpdateStatusReason"]
                ),
                _ => return Ok(()),
            }
        }
    }

    fn url_of(&self, function: &str) -> String {
        format!("{}/2015-03-31/functions/{function}", self.endpoint)
    }

    /// Calls a function and returns what it answers.
    ///
    /// # Errors
    /// If the function fails, with its own words.
    pub fn invoke(&self, tool: &Tool<'_>, function: &str, payload: &Path) -> Result<Value> {
        let answer = payload.with_extension("answer.json");
        let mut invoke = self.aws("lambda invoke --cli-read-timeout 300");
        invoke
            .args(["--function-name", function, "--payload"])
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

    fn aws(&self, words: &str) -> Command {
        let mut command = self.command(&self.localstack.program("aws"));
        command.args(words.split(' ')).args(["--output", "json"]);
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

//! One process of a function, as Lambda runs it: an execution environment.

use std::{
    env,
    fs::{self, File},
    future::Future,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;

use execution_environment::{Idle, RuntimeApi};

use crate::{build, subject::Subject};

/// When to give up on a start or a response: far longer than anything worth measuring.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AT_PROCESS: Duration = Duration::from_millis(50);

/// A process that serves one event at a time. It is killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Environment {
    process: Child,
    runtime_api: RuntimeApi,
    idle: Option<Idle>,
}

/// A response, and how long it took.
#[derive(Debug)]
pub(crate) struct Answered {
    /// When the event was sent.
    pub(crate) begin: Instant,
    /// From sending the event to receiving the whole response.
    pub(crate) duration: Duration,
    /// The function's response.
    pub(crate) body: Bytes,
}

impl Environment {
    /// Starts a process and waits until it polls for its first event. Also returns how long that
    /// took.
    ///
    /// # Errors
    /// If it ends before, or takes for ever.
    pub(crate) async fn start(subject: &Subject) -> Result<(Self, Duration)> {
        let runtime_api = RuntimeApi::start().await?;
        let mut command = command(subject, &runtime_api)?;
        let begin = Instant::now();
        let process = command
            .spawn()
            .with_context(|| format!("cannot run {}", subject.program.display()))?;
        let mut environment = Self {
            process,
            runtime_api,
            idle: None,
        };
        let ready = environment.ready().await?;
        Ok((environment, ready - begin))
    }

    /// Waits until the process has nothing more to do: its runtime polls for an event, and so does its
    /// extension, if it has one. Returns when it did.
    ///
    /// # Errors
    /// If it ends before, or takes for ever.
    pub(crate) async fn ready(&mut self) -> Result<Instant> {
        let idle = match self.idle.take() {
            Some(idle) => idle,
            None => alive(&mut self.process, self.runtime_api.idle()).await?,
        };
        let at = idle.at;
        self.idle = Some(idle);
        Ok(at)
    }

    /// Lets the function handle an event.
    ///
    /// # Errors
    /// If the process ends before it responds, or takes for ever.
    pub(crate) async fn invoke(&mut self, event: Bytes) -> Result<Answered> {
        self.ready().await?;
        let idle = self
            .idle
            .take()
            .context("the process does not poll for an event")?;
        let begin = Instant::now();
        if !idle.invoke(event) {
            bail!("the process does not accept the event");
        }
        let answer = alive(&mut self.process, self.runtime_api.answers.recv()).await?;
        Ok(Answered {
            begin,
            duration: answer.at - begin,
            body: answer.body,
        })
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The peak memory of the process so far, in bytes: its resident set.
    ///
    /// # Errors
    /// If the system does not report it.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        peak_memory(&status).context("/proc does not contain the peak memory of the process")
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command, with an environment like Lambda's and nothing of ours except where AWS is. Its
/// output goes to a file.
fn command(subject: &Subject, runtime_api: &RuntimeApi) -> Result<Command> {
    let logs = build::folder().join("logs");
    fs::create_dir_all(&logs)?;
    // Only the latest process's log is kept: the one to look at if it fails.
    let log = File::create(logs.join(&subject.binary).with_extension("log"))?;
    let aws = env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let mut command = Command::new(&subject.program);
    command
        .args(&subject.arguments)
        .env_clear()
        .envs(aws)
        .envs(&subject.settings)
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &subject.binary)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/benchmark")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "benchmark")
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

/// The result of the work, unless the process ends first.
async fn alive<T>(process: &mut Child, work: impl Future<Output = Option<T>>) -> Result<T> {
    tokio::select! {
        biased;
        result = work => result.context("the runtime API has ended"),
        status = exit(process) => bail!("the process has ended ({})", status?),
        () = tokio::time::sleep(PATIENCE) => bail!("nothing happened for {PATIENCE:?}"),
    }
}

async fn exit(process: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(LOOK_AT_PROCESS).await;
    }
}

fn peak_memory(status: &str) -> Option<u64> {
    let (_, rest) = status.split_once("VmHWM:")?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_and_not_the_current_use() {
        let status = "Name:\tbootstrap\nVmPeak:\t  99 kB\nVmHWM:\t    6500 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(peak_memory(status), Some(6500 * 1024));
        assert_eq!(peak_memory("Name:\tbootstrap\n"), None);
    }
}

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

use crate::{
    build,
    runtime_api::{Poll, RuntimeApi},
    subject::Subject,
};

/// When to give up on a start or an answer: far above anything that is worth measuring.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AT_PROCESS: Duration = Duration::from_millis(50);

/// A process that serves one event at a time. Ends with this value.
#[derive(Debug)]
pub(crate) struct Environment {
    process: Child,
    runtime_api: RuntimeApi,
    poll: Option<Poll>,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub(crate) struct Answered {
    /// From the event being handed out to the whole answer being there.
    pub(crate) duration: Duration,
    /// What the function answered.
    pub(crate) body: Bytes,
}

impl Environment {
    /// Starts a process and waits until it polls for its first event. Returns how long
    /// that took, too.
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
            poll: None,
        };
        let ready = environment.ready().await?;
        Ok((environment, ready - begin))
    }

    /// Waits until the process polls for an event. Returns when it did.
    ///
    /// # Errors
    /// If it ends before, or takes for ever.
    pub(crate) async fn ready(&mut self) -> Result<Instant> {
        let poll = match self.poll.take() {
            Some(poll) => poll,
            None => alive(&mut self.process, self.runtime_api.polls.recv()).await?,
        };
        let at = poll.at;
        self.poll = Some(poll);
        Ok(at)
    }

    /// Has the function handle an event.
    ///
    /// # Errors
    /// If the process ends before it answers, or takes for ever.
    pub(crate) async fn invoke(&mut self, event: Bytes) -> Result<Answered> {
        self.ready().await?;
        let poll = self.poll.take().context("nobody polls for an event")?;
        let begin = Instant::now();
        if poll.event.send(event).is_err() {
            bail!("the process does not take the event");
        }
        let answer = alive(&mut self.process, self.runtime_api.answers.recv()).await?;
        Ok(Answered {
            duration: answer.at - begin,
            body: answer.body,
        })
    }

    /// The most memory that the process has had so far, in bytes: its resident set.
    ///
    /// # Errors
    /// If the system does not say.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        peak_memory(&status).context("/proc does not say how much memory the process had")
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        // It may be gone already, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process with an environment like that in Lambda, and nothing of ours in it but
/// where AWS is. What it says goes to a file.
fn command(subject: &Subject, runtime_api: &RuntimeApi) -> Result<Command> {
    let logs = build::folder().join("logs");
    fs::create_dir_all(&logs)?;
    // Of the latest process: the one that is asked about, should it fail.
    let log = File::create(logs.join(&subject.binary).with_extension("log"))?;
    let aws = env::vars().filter(|(name, _)| name.starts_with("AWS_"));
    let mut command = Command::new(&subject.program);
    command
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
    fn the_peak_is_not_the_present_use() {
        let status = "Name:\tbootstrap\nVmPeak:\t  99 kB\nVmHWM:\t    6500 kB\nVmRSS:\t 12 kB\n";
        assert_eq!(peak_memory(status), Some(6500 * 1024));
        assert_eq!(peak_memory("Name:\tbootstrap\n"), None);
    }
}

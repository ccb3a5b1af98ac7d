//! Processes of the stack: killing, freezing and restarting them.

use std::{env, fs, process::Command};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::{Stack, eventually};

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(Pid);

impl Process {
    /// The process that runs this service.
    #[must_use]
    pub fn of_service(stack: &Stack, service: &str) -> Self {
        let pid = stack.pids.get(service).copied().and_then(Pid::from_raw);
        Self(pid.unwrap_or_else(|| panic!("{service} was not started by the stack")))
    }

    /// The processes that run this function right now.
    #[must_use]
    pub fn of_function(stack: &Stack, function: &str) -> Vec<Self> {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={}", stack.function_name(function));
        let runtime = "AWS_LAMBDA_RUNTIME_API=";
        let port = stack.localstack_url.rsplit(':').next().unwrap_or_default();
        let endpoint = format!(":{port}");
        let processes = fs::read_dir("/proc").expect("/proc, which this test needs");
        let pids =
            processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let environment = String::from_utf8_lossy(&environment);
            let has = |start: &str| {
                environment
                    .split('\0')
                    .any(|entry| entry.starts_with(start))
            };
            // Another stack on this machine may have a function with the same name.
            let is_ours = environment
                .split('\0')
                .any(|entry| entry.starts_with("AWS_ENDPOINT_URL=") && entry.ends_with(&endpoint));
            is_ours && has(runtime) && environment.split('\0').any(|entry| entry == name)
        })
        .filter_map(Pid::from_raw)
        .map(Self)
        .collect()
    }

    /// The process with this id, if it is a valid one.
    #[must_use]
    pub fn of_number(number: i32) -> Option<Self> {
        Pid::from_raw(number).map(Self)
    }

    /// Its id.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0.as_raw_pid()
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(self) {
        self.signal(Signal::KILL);
        eventually("the end of the process", async || {
            self.is_gone().then_some(())
        })
        .await;
    }

    /// Freezes it until the result is dropped.
    #[must_use]
    pub fn freeze(self) -> Frozen {
        self.signal(Signal::STOP);
        Frozen(self)
    }

    fn is_gone(self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.0.as_raw_nonzero()));
        let is_dead = |status: String| {
            let state = status
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next());
            matches!(state, Some('Z' | 'X'))
        };
        test_kill_process(self.0).is_err() || status.is_ok_and(is_dead)
    }

    fn signal(self, signal: Signal) {
        // It does not matter if it has ended meanwhile.
        let _ = kill_process(self.0, signal);
    }
}

/// A frozen process.
pub struct Frozen(Process);

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

/// Restarts a service when it is dropped, however the test ends.
pub struct Restart(&'static str);

impl Restart {
    /// Restarts this service later.
    #[must_use]
    pub const fn afterwards(service: &'static str) -> Self {
        Self(service)
    }

    /// Restarts it now.
    pub fn now(self) {
        drop(self);
    }
}

impl Drop for Restart {
    fn drop(&mut self) {
        let restarted = restart(self.0);
        // A test that is already failing must not panic twice.
        if !std::thread::panicking() {
            restarted.unwrap_or_else(|why| panic!("{} does not restart: {why}", self.0));
        }
    }
}

fn restart(service: &str) -> Result<(), String> {
    let program = env::var_os("LOCAL_STACK")
        .ok_or("LOCAL_STACK is not set: run the tests with `local-stack exec`, which sets it")?;
    let output = Command::new(&program)
        .args(["restart", service])
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

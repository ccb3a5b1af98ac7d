//! LocalStack on the host, with the extension of this repository.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use super::dynamodb;
use crate::cache::{Cache, PythonEnvironment};
use crate::context::Context;
use crate::deployed;
use crate::files;
use crate::fingerprint::Fingerprint;
use crate::ports::Ports;
use crate::processes::ServiceCommand;
use crate::progress::Step;
use crate::readiness::{self, Wanted};
use crate::service::Service;
use crate::settings::Settings;
use crate::tool::Tool;

/// The extension as installed for one stack.
pub struct Extension {
    folder: PathBuf,
    version: String,
}

/// Where AWS clients find the LocalStack that [`start`] starts. By this name, because
/// names below `localhost` are what browsers and LocalStack's own URLs use.
#[must_use]
pub fn url(ports: &Ports) -> String {
    format!("http://localhost:{}", ports.of(Service::Localstack))
}

/// Installs the extension, again if it has changed.
///
/// # Errors
/// If pip fails.
pub fn install_extension(
    settings: &Settings,
    step: &Step<'_>,
    python: &PythonEnvironment,
) -> Result<Extension> {
    let source = settings.repository.join("localstack/extension");
    let version = Fingerprint::default()
        .with(fs::read(source.join("pyproject.toml")).context("cannot read the extension")?)
        .with_folder(&source.join("src"))?
        .with(python.python().as_os_str().as_encoded_bytes())
        .finish();
    let all = settings.directory.join("extension");
    let folder = all.join(&version);
    let complete = folder.join(".complete");
    if !complete.exists() {
        step.doing("installing the extension");
        files::remove(&all)?;
        let uv = Cache::new(settings).uv(step)?;
        Tool::new(step, &settings.log("install-extension"))?.run(
            uv.command()
                .args([
                    "pip",
                    "install",
                    "--no-deps",
                    "--no-build-isolation",
                    "--python",
                ])
                .arg(python.python())
                .arg("--target")
                .arg(&folder)
                .arg(&source),
        )?;
        files::replace(&complete, b"")?;
    }
    Ok(Extension { folder, version })
}

/// Starts LocalStack.
///
/// # Errors
/// If it does not get ready.
pub fn start(
    context: &Context,
    step: &Step<'_>,
    ports: &Ports,
    python: &PythonEnvironment,
    extension: &Extension,
) -> Result<()> {
    let port = ports.of(Service::Localstack);
    let folder = context.settings.directory.join("localstack");
    let url = url(ports);
    let command = ServiceCommand::new(python.python())
        .args(["-m", "localstack.runtime.main"])
        .directory(&folder)
        .env("PYTHONPATH", &extension.folder)
        .env("PYTHONUNBUFFERED", "1")
        .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
        .env("LOCALSTACK_HOST", format!("localhost:{port}"))
        // Everything it writes stays inside the stack.
        .env("FILESYSTEM_ROOT", folder.join("filesystem"))
        .env("LOCALSTACK_VOLUME_DIR", folder.join("volume"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("TMPDIR", folder.join("tmp"))
        // No talk with the world, and no name server.
        .env("DISABLE_EVENTS", "1")
        .env("SKIP_SSL_CERT_DOWNLOAD", "1")
        .env("DNS_ADDRESS", "0")
        .env("LAMBDA_RUNTIME_EXECUTOR", "process")
        .env("LAMBDA_PROCESS_LOG_DIR", function_logs(&context.settings))
        .env("LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC", "0.2")
        // A function is there within milliseconds: CloudFormation asks for it so many times
        // before it begins to wait whole seconds.
        .env("CFN_NO_WAIT_ITERATIONS", "60")
        .env("PROVIDER_OVERRIDE_DYNAMODB", "dynoxide")
        // A link to a file is good for what it was signed for, and no longer, as on AWS.
        .env("S3_SKIP_SIGNATURE_VALIDATION", "0")
        .env("DYNOXIDE_URL", dynamodb::url(ports))
        .env_from_user("DEBUG")
        .env_from_user("LS_LOG")
        .depends_on(&extension.version);
    let running = context
        .supervisor
        .running_as(Service::Localstack, &command)?;
    if running.is_none() || deployed::is_discarded(&context.settings) {
        context.supervisor.stop(Service::Localstack)?;
        // It forgets everything when it ends, so what it has written is of no use.
        files::remove(&folder)?;
        deployed::forget(&context.settings)?;
    }
    for part in ["filesystem", "volume", "cache", "tmp"] {
        files::create_folder(&folder.join(part))?;
    }
    readiness::ensure(
        &context.supervisor,
        step,
        &Wanted {
            service: Service::Localstack,
            port,
            command,
            probe: &|| session(&url).map(drop).map_err(|error| error.to_string()),
            patience: Duration::from_secs(90),
        },
    )?;
    step.result(url.clone());
    Ok(())
}

/// The name that a LocalStack gives itself each time it starts. As it forgets everything
/// at its end, this tells whether a deployment is still there.
///
/// # Errors
/// If no LocalStack answers.
pub fn session(url: &str) -> Result<String> {
    let info =
        readiness::get_json(&format!("{url}/_localstack/info")).map_err(|error| anyhow!(error))?;
    let session = info.get("session_id").and_then(|session| session.as_str());
    Ok(session
        .with_context(|| format!("{url} does not answer as LocalStack does"))?
        .to_owned())
}

/// The folder of the functions' log files.
#[must_use]
pub fn function_logs(settings: &Settings) -> PathBuf {
    settings.logs().join("functions")
}

//! Running a program with everything in its environment to work with the stack.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use local_stack::build::without_traces_of_cargo_run;
use local_stack::cache::{Cache, Environment, PythonEnvironment, python_command};
use local_stack::context::Context;
use local_stack::readiness;
use local_stack::services::kafka::Broker;
use local_stack::stack_file::StackFile;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde::Deserialize;

/// The hidden subcommand with which cargo-lambda runs functions.
pub(crate) const RUN_FUNCTION: &str = "run-function";

const POLL: Duration = Duration::from_millis(25);
const PATIENCE: Duration = Duration::from_secs(10);

/// What links functions for a machine that is not this one, as its Python package calls it.
const ZIG: &str = "python-zig";

/// Where cargo-lambda looks for it first. It does not know the package's name for it.
const ZIG_PATH: &str = "CARGO_ZIGBUILD_ZIG_PATH";

/// The command, with the stack's environment and its tools on the path, behind those of
/// the user.
pub(crate) fn command(
    context: &Context,
    stack: &StackFile,
    command: &[OsString],
) -> Result<Command> {
    let settings = &context.settings;
    let (program, arguments) = command.split_first().context("no command was given")?;
    let runs_functions = runs_functions(program, arguments);
    if runs_functions {
        installed(context, Environment::Build)?;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = Cache::new(settings).installed_programs()?;
    let mut command = Command::new(program);
    link_with_zig_of(&tools, &mut command);
    command.args(arguments);
    if !runs_functions {
        command.envs(settings_of_functions(stack)?);
    }
    command
        .envs(stack.environment(settings))
        // Queries are checked against what is committed, whatever the database is like.
        .env("SQLX_OFFLINE", "true")
        .env("LOCAL_STACK", env::current_exe()?)
        .env(
            "PATH",
            env::join_paths(env::split_paths(&path).chain(tools))?,
        );
    if runs_functions {
        // Each has a role of its own in the database, which the runner knows.
        command.env_remove("DATABASE_URL").env(
            runner_setting()?,
            format!("{} {RUN_FUNCTION}", env::current_exe()?.display()),
        );
    }
    without_traces_of_cargo_run(&mut command);
    Ok(command)
}

/// Names cargo-lambda the linker in these folders, unless the user has named one.
fn link_with_zig_of(folders: &[PathBuf], command: &mut Command) {
    if let Some(linker) = zig_of(folders)
        && env::var_os(ZIG_PATH).is_none()
    {
        command.env(ZIG_PATH, linker);
    }
}

fn zig_of(folders: &[PathBuf]) -> Option<PathBuf> {
    let mut linkers = folders.iter().map(|folder| folder.join(ZIG));
    linkers.find(|program| program.is_file())
}

/// Whether the command is cargo-lambda: each function has the settings that it is deployed with,
/// its own database role included. Everything else has those of all functions, and the database
/// role that may make databases, as tests need it.
fn runs_functions(program: &OsStr, arguments: &[OsString]) -> bool {
    let name = Path::new(program).file_name().unwrap_or_default();
    name == "cargo-lambda"
        || name == "cargo" && arguments.iter().any(|argument| argument == "lambda")
}

/// The setting with which cargo has a program of its own run what it has built.
fn runner_setting() -> Result<String> {
    let rustc = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot run rustc")?;
    let said = String::from_utf8_lossy(&rustc.stdout);
    let host = said
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc does not say which machine it compiles for")?;
    let host = host.replace('-', "_").to_ascii_uppercase();
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}

/// The function that has been built into this program, with the settings that it is deployed
/// with.
pub(crate) fn function(
    stack: &StackFile,
    program: &Path,
    arguments: &[OsString],
) -> Result<Command> {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let deployed = format!("{}-{name}", stack.stack_name);
    let function = functions(stack)?
        .into_iter()
        .find(|function| function.name == deployed)
        .with_context(|| format!("{name} is not deployed: `make up` deploys it"))?;
    let mut command = Command::new(program);
    command.args(arguments).envs(function.environment.variables);
    Ok(command)
}

/// One of the installed tools, which are installed now if they are not yet.
pub(crate) fn tool(context: &Context, command: &[OsString]) -> Result<Command> {
    let (name, arguments) = command.split_first().context("no tool was given")?;
    let name = name.to_string_lossy();
    let mut folders = Vec::new();
    let mut program = None;
    for environment in Environment::WITH_TOOLS {
        let installed = installed(context, environment)?;
        folders.push(installed.programs());
        program = Some(installed.program(&name)).filter(|program| program.is_file());
        if program.is_some() {
            break;
        }
    }
    let program = program.with_context(|| format!("there is no tool {name}"))?;
    if name == "sam" && arguments.first().is_some_and(|first| first == "build") {
        folders.push(installed(context, Environment::Build)?.programs());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut command = python_command(&program);
    link_with_zig_of(&folders, &mut command);
    let path = env::join_paths(folders.into_iter().chain(env::split_paths(&path)))?;
    command
        .args(arguments)
        .env("PATH", path)
        .env("SAM_CLI_TELEMETRY", "0");
    if name == "pytest" {
        command.envs(servers(context)?);
    }
    Ok(command)
}

/// Says something only where there is something to install.
fn installed(context: &Context, environment: Environment) -> Result<PythonEnvironment> {
    let cache = Cache::new(&context.settings);
    match cache.installed(environment)? {
        Some(installed) => Ok(installed),
        None => context.progress.step(environment.title(), |step| {
            cache.python_environment(step, environment)
        }),
    }
}

/// The servers that the extension's tests start for themselves.
fn servers(context: &Context) -> Result<[(&'static str, OsString); 2]> {
    let (broker, dynoxide) = context.progress.step("Servers for tests", |step| {
        let broker = Broker::install(&context.settings, step)?.command();
        Ok((broker, Cache::new(&context.settings).dynoxide(step)?))
    })?;
    Ok([
        (
            "KAFKA_BROKER_COMMAND",
            serde_json::to_string(&broker)?.into(),
        ),
        ("DYNOXIDE_BINARY", dynoxide.into()),
    ])
}

/// What the deployed functions have in their environments, names of tables and queues included.
/// Except for how it logs in to the database, a setting has the same value in every function
/// that has it. The logins of all services are among the settings of `provision`.
fn settings_of_functions(stack: &StackFile) -> Result<BTreeMap<String, String>> {
    let functions = functions(stack)?.into_iter();
    Ok(functions
        .flat_map(|function| function.environment.variables)
        .filter(|(name, _)| name != "DATABASE_URL")
        .collect())
}

/// The deployed functions.
fn functions(stack: &StackFile) -> Result<Vec<DeployedFunction>> {
    let url = format!(
        "{}/2015-03-31/functions/?MaxItems=10000",
        stack.localstack_url
    );
    let answer = readiness::get_json(&url).map_err(|reason| anyhow!(reason))?;
    let list: FunctionList = serde_json::from_value(answer)
        .context("LocalStack does not say which functions there are")?;
    let prefix = format!("{}-", stack.stack_name);
    Ok(list
        .functions
        .into_iter()
        .filter(|function| function.name.starts_with(&prefix))
        .collect())
}

#[derive(Deserialize)]
struct FunctionList {
    #[serde(rename = "Functions")]
    functions: Vec<DeployedFunction>,
}

#[derive(Deserialize)]
struct DeployedFunction {
    #[serde(rename = "FunctionName")]
    name: String,
    #[serde(rename = "Environment", default)]
    environment: FunctionEnvironment,
}

#[derive(Default, Deserialize)]
struct FunctionEnvironment {
    #[serde(rename = "Variables", default)]
    variables: BTreeMap<String, String>,
}

/// Runs the command to its end, or to the end of the user's patience.
pub(crate) fn run(
    context: &Context,
    stack: &StackFile,
    arguments: &[OsString],
) -> Result<ExitCode> {
    // Tests and the benchmark run and build functions the way that people do.
    installed(context, Environment::Build)?;
    let mut command = command(context, stack, arguments)?;
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let services = stack.pids.values().copied().filter_map(pid);
    let services: Vec<Pid> = services.collect();
    let mut deadline: Option<Instant> = None;
    loop {
        // Whoever kills a service waits until it is gone. It stays until its parent has
        // taken notice of its end, and this program is the parent of those it has started.
        for service in &services {
            let _ = waitpid(Some(*service), WaitOptions::NOHANG);
        }
        if let Some(status) = child.try_wait()? {
            return Ok(exit_code(status));
        }
        match deadline {
            None => {
                if context.progress.cancellation().check().is_err() {
                    if let Some(pid) = pid(child.id()) {
                        let _ = kill_process(pid, Signal::TERM);
                    }
                    deadline = Some(Instant::now() + PATIENCE);
                }
            }
            Some(deadline) if Instant::now() > deadline => child.kill()?,
            Some(_) => {}
        }
        thread::sleep(POLL);
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_run_by_cargo_lambda() {
        let runs = |command: &str| {
            let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
            runs_functions(&words[0], &words[1..])
        };
        for command in [
            "cargo lambda watch",
            "/tools/bin/cargo-lambda lambda watch",
            "cargo +stable lambda invoke provision",
        ] {
            assert!(runs(command), "{command}");
        }
        for command in ["cargo test --workspace", "psql lambda", "make sqlx"] {
            assert!(!runs(command), "{command}");
        }
    }

    /// It is under a name that cargo-lambda does not look for.
    #[test]
    fn the_installed_zig_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [PathBuf::from("/nowhere"), folder.path().to_path_buf()];
        assert_eq!(zig_of(&folders), None);
        let zig = folder.path().join(ZIG);
        std::fs::write(&zig, "").unwrap();
        assert_eq!(zig_of(&folders), Some(zig));
    }
}

//! What a person is told on the terminal.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result, bail};
use console::{Term, style};
use local_stack::context::Context;
use local_stack::readiness;
use local_stack::service::Service;
use local_stack::settings::{SETTINGS, Settings};
use local_stack::stack_file::StackFile;
use local_stack::tool::last_lines;

/// Says why the program ends without success.
pub(crate) fn failure(error: &anyhow::Error) {
    let text = format!("{} {error:#}", style("error:").red().bold().for_stderr());
    // Where nobody can be told, there is nobody to tell that.
    let _ = Term::stderr().write_line(&text);
}

/// The table of settings, for the help text.
pub(crate) fn settings_help() -> String {
    SETTINGS.iter().fold(
        "Settings (environment variables):\n".to_owned(),
        |mut text, setting| {
            let _ = writeln!(
                text,
                "  {:<24} {} [{}]",
                setting.name, setting.meaning, setting.default
            );
            text
        },
    )
}

/// How to go on once the stack is up.
pub(crate) fn welcome(settings: &Settings, stack: &StackFile, elapsed: Duration) -> Result<()> {
    let mut terminal = Term::stdout();
    let label = |text: &str| style(format!("{text:<14}")).bold();
    writeln!(
        terminal,
        "\n{} in {:.1} s\n",
        style("The stack is up").green().bold(),
        elapsed.as_secs_f32()
    )?;
    writeln!(terminal, "{} {}", label("API"), stack.api_url)?;
    writeln!(terminal, "{} {}", label("Documentation"), stack.docs_url)?;
    if let Some(user) = stack.users.first() {
        writeln!(
            terminal,
            "{} {} / {} ({})",
            label("Login"),
            user.email,
            user.password,
            user.role
        )?;
        writeln!(
            terminal,
            "{} curl -s {}/auth/login -H 'Content-Type: application/json' -d '{{\"email\":\"{}\",\"password\":\"{}\"}}'",
            label("Try"),
            stack.api_url,
            user.email,
            user.password
        )?;
    }
    writeln!(
        terminal,
        "{} {}",
        label("Details"),
        StackFile::path(settings).display()
    )?;
    Ok(())
}

/// One line per service, then where the system is, how it is, and what to do if it is not up.
/// Returns whether all services are running.
pub(crate) fn status(context: &Context) -> Result<bool> {
    let mut terminal = Term::stdout();
    let mut all = true;
    for service in Service::ALL {
        let title = service.title();
        if !context.settings.starts(service) {
            writeln!(terminal, "{title:<18} yours")?;
        } else if let Some(record) = context.supervisor.running(service)? {
            let since = Duration::from_secs(now().saturating_sub(record.since));
            writeln!(
                terminal,
                "{title:<18} {} on port {}, process {}, for {}",
                style("running").green(),
                record.port,
                record.identity,
                for_people(since)
            )?;
        } else {
            all = false;
            writeln!(terminal, "{title:<18} {}", style("not running").red())?;
        }
    }
    match StackFile::read(&context.settings) {
        Ok(stack) if all => {
            writeln!(terminal, "{:<18} {}", "API", stack.api_url)?;
            writeln!(terminal, "{:<18} {}", "Documentation", stack.docs_url)?;
            writeln!(terminal, "{:<18} {}", "Health", health(&stack.api_url))?;
        }
        _ => writeln!(
            terminal,
            "\n`make up` starts what is not running; `make logs NAME=kafka` shows what a service has said."
        )?,
    }
    Ok(all)
}

/// What the system says of itself.
fn health(api_url: &str) -> String {
    let health = match readiness::get_json_of_any_status(&format!("{api_url}/health")) {
        Ok(health) => health,
        Err(reason) => {
            return format!(
                "{} {reason}; `make up` deploys again",
                style("unknown:").red()
            );
        }
    };
    let checks = health["checks"].as_object().into_iter().flatten();
    let down = checks.filter(|(_, check)| check["status"] != "UP");
    let down: Vec<&str> = down.map(|(name, _)| name.as_str()).collect();
    if down.is_empty() {
        return style("everything works").green().to_string();
    }
    format!(
        "{} {}; `make logs NAME=health` says why",
        style("down:").red(),
        down.join(", ")
    )
}

/// Shows a log, or which logs there are.
pub(crate) fn logs(
    settings: &Settings,
    name: Option<&str>,
    lines: usize,
    follow: bool,
) -> Result<()> {
    let mut terminal = Term::stdout();
    let mut known = all_logs(&settings.logs())?;
    known.sort();
    let Some(name) = name else {
        for log in &known {
            writeln!(
                terminal,
                "{:<32} {}",
                log_name(settings, log),
                log.display()
            )?;
        }
        return Ok(Term::stderr().write_line("\n`make logs NAME=name` shows one.")?);
    };
    // Also by the whole name of the file.
    let matches = |log: &&PathBuf| {
        log_name(settings, log) == name || log.file_stem().is_some_and(|stem| stem == name)
    };
    let Some(log) = known.iter().find(matches) else {
        bail!("there is no log of '{name}'; `make logs` lists those that there are");
    };
    for line in last_lines(log, lines) {
        writeln!(terminal, "{line}")?;
    }
    if follow {
        go_on_showing(log, &mut terminal)?;
    }
    Ok(())
}

/// What a person calls it: a service, a step, or a function without the stack's name.
fn log_name(settings: &Settings, log: &Path) -> String {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let prefix = format!("{}-", settings.stack_name);
    stem.strip_prefix(&prefix).unwrap_or(&stem).to_owned()
}

fn all_logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    let entries = fs::read_dir(folder)
        .with_context(|| format!("there are no logs in {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            logs.extend(all_logs(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    Ok(logs)
}

/// Until the user ends it.
fn go_on_showing(log: &Path, terminal: &mut Term) -> io::Result<()> {
    let mut file = File::open(log)?;
    let mut position = file.seek(SeekFrom::End(0))?;
    loop {
        thread::sleep(Duration::from_millis(200));
        // A service that was started again has a new file of the same name.
        if fs::metadata(log).is_ok_and(|metadata| metadata.len() < position) {
            position = 0;
        }
        file = File::open(log)?;
        file.seek(SeekFrom::Start(position))?;
        let mut fresh = Vec::new();
        position += file.read_to_end(&mut fresh)? as u64;
        terminal.write_all(&fresh)?;
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn for_people(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    match minutes {
        0 => format!("{} s", duration.as_secs()),
        1..=59 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

//! `import-patients`: imports the patients of a Synthea CSV file through the API.
//!
//! It uploads them as one file and waits until the API has worked through it. What is being imported,
//! and the outcome of each row, are written to a journal beside the report, so that an interrupted
//! import resumes where it stopped; the API goes on meanwhile.

mod api;
mod import;
mod journal;
mod progress;
mod report;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use clap::Parser;
use console::{Term, style};
use identity::Role;
use secrecy::SecretString;
use system_tests::{Stack, synthea::Rows};

use crate::{
    api::{Api, Credentials},
    import::Import,
    journal::{Journal, Subject},
    report::Report,
};

/// The exit code of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Create patients from a Synthea CSV file through the API
///
/// Without --api-url, --email or --password, those of the running local stack are used, which
/// `local-stack exec` provides. Run it again after an interruption: rows that are settled are not
/// processed again. Patients who have died are skipped.
#[derive(Parser)]
#[command(name = "import-patients", version)]
struct Arguments {
    /// The file of patients, with Synthea's columns
    #[arg(long, default_value = "data/synthea/patients.csv")]
    file: PathBuf,
    /// The URL of the API
    #[arg(long)]
    api_url: Option<String>,
    /// The e-mail address to log in with
    #[arg(long)]
    email: Option<String>,
    /// The password; better set in the environment, where nobody sees it
    #[arg(long, env = "IMPORT_PASSWORD", hide_env_values = true)]
    password: Option<SecretString>,
    /// The most rows to process that are not settled yet [default: all]
    #[arg(long)]
    limit: Option<usize>,
    /// Send every patient a welcome message. Without it, nobody gets one, and only an administrator
    /// may import
    #[arg(long)]
    welcome: bool,
    /// Where to write the report, as JSON; the journal is written beside it
    #[arg(long, default_value = "import-report.json")]
    report: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = run(&Arguments::parse()).await;
    outcome.unwrap_or_else(|error| {
        let line = format!("{} {error:#}", style("error:").red().bold().for_stderr());
        // If this fails, there is nobody to report it to.
        let _ = Term::stderr().write_line(&line);
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let rows = Rows::open(&arguments.file)?;
    let (api_url, credentials) = target(arguments)?;
    let subject = Subject {
        file: std::path::absolute(&arguments.file)?,
        api_url: api_url.clone(),
    };
    let journal = Journal::open(&journal_path(&arguments.report), &subject)?;
    let api = Api::log_in(&api_url, credentials, arguments.welcome).await?;

    let import = Import {
        api,
        limit: arguments.limit.unwrap_or(usize::MAX),
        stop: stop_on_signals(),
    };
    let report: Report = import.run(rows, journal, &arguments.file).await?;
    report.write(&arguments.report)?;
    let mut terminal = Term::stdout();
    std::io::Write::write_all(&mut terminal, report.to_string().as_bytes())?;
    Ok(match (report.interrupted, &report.failure) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, Some(_)) => ExitCode::FAILURE,
        (false, None) => ExitCode::SUCCESS,
    })
}

/// The API and the credentials. The stack is only read for what the arguments do not set.
fn target(arguments: &Arguments) -> anyhow::Result<(String, Credentials)> {
    let said = (&arguments.api_url, &arguments.email, &arguments.password);
    if let (Some(api_url), Some(email), Some(password)) = said {
        let credentials = Credentials {
            email: email.clone(),
            password: password.clone(),
        };
        return Ok((api_url.clone(), credentials));
    }
    let stack = Stack::from_env().context("--api-url, --email and --password are not all given")?;
    let user = stack
        .users
        .iter()
        .find(|user| user.role == Role::Admin)
        .context("the stack has no administrator")?;
    let credentials = Credentials {
        email: said.1.as_ref().unwrap_or(&user.email).clone(),
        password: said
            .2
            .clone()
            .unwrap_or_else(|| user.password.as_str().into()),
    };
    let api_url = said.0.as_ref().unwrap_or(&stack.api_url).clone();
    Ok((api_url, credentials))
}

fn journal_path(report: &Path) -> PathBuf {
    report.with_extension("journal")
}

/// Set by the first Ctrl-C, which ends the waiting. The second one ends the program at once.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            flag.store(true, Ordering::Relaxed);
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED.into());
            }
        }
    });
    stop
}

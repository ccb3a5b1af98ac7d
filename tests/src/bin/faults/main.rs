//! `faults`: lets clients change patients while one part of the system after another is killed,
//! frozen or fed with garbage, and then checks that nothing the clients were told is lost,
//! duplicated or out of order.

mod bookings;
mod cashiers;
mod clients;
mod faults;
mod imports;
mod invariants;
mod ledger;
mod merges;
mod observation;
mod progress;
mod report;
mod requests;
mod say;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use clap::{Parser, ValueEnum as _};
use console::{Term, style};
use system_tests::{Clinic, Drain, Stack, synthea::Rows};

use crate::{
    bookings::{Desk, Practice},
    cashiers::{Office, Till},
    clients::Load,
    faults::{FaultKind, Stage},
    merges::Registry,
    observation::{Baseline, Observation},
    report::Report,
    say::say,
};

/// The exit code of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Show that what the API acknowledged is never lost, duplicated or reordered
///
/// Runs against the stack whose environment `local-stack exec` or `run` provides, and needs it for
/// itself: use `make faults`.
#[derive(Parser)]
#[command(name = "faults", version)]
struct Options {
    /// The least number of changes that the API has to acknowledge [default: 1000, short: 200]
    #[arg(long)]
    changes: Option<u64>,
    /// The number of clients that change patients at the same time
    #[arg(long, default_value = "8")]
    clients: NonZeroUsize,
    /// Repeat the random choices of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// How often each fault happens at least [default: 3, short: 1]
    #[arg(long)]
    faults_each: Option<u32>,
    /// Only these faults
    #[arg(long, value_delimiter = ',')]
    only: Vec<FaultKind>,
    /// All faults except these
    #[arg(long, value_delimiter = ',')]
    skip: Vec<FaultKind>,
    /// A short run of a minute or two
    #[arg(long)]
    short: bool,
    /// The file of patients, with Synthea's columns
    #[arg(long, default_value = "data/synthea/patients.csv")]
    file: PathBuf,
}

impl Options {
    fn changes(&self) -> u64 {
        self.changes.unwrap_or(if self.short { 200 } else { 1000 })
    }

    fn faults_each(&self) -> u32 {
        self.faults_each.unwrap_or(if self.short { 1 } else { 3 })
    }

    fn kinds(&self) -> Vec<FaultKind> {
        let all = FaultKind::value_variants().iter().copied();
        all.filter(|kind| self.only.is_empty() || self.only.contains(kind))
            .filter(|kind| !self.skip.contains(kind))
            .collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = tokio::select! {
        outcome = run(&options) => outcome,
        _ = tokio::signal::ctrl_c() => {
            faults::heal_after_interruption().await;
            return ExitCode::from(INTERRUPTED);
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            let what = style("The run was aborted:").for_stderr().red().bold();
            say(&format!("{what} {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<ExitCode> {
    let stack = Stack::from_env()?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let rows = Rows::open(&options.file)?;
    let rows: Vec<_> = rows.filter_map(|row| row.patient.ok()).collect();
    ensure!(!rows.is_empty(), "the file has no patients");
    let clinic = Arc::new(Clinic::alone());
    let database = store::pool("faults")?;
    let drain = Drain {
        clinic: &clinic,
        database: &database,
        short: options.short,
    };
    faults::heal(&database).await?;
    let load = Load::new(Arc::clone(&clinic), rows, seed, options.changes());
    let load = Arc::new(load);
    let practice = Practice::open(&load).await;
    let office = Office::open(&load).await;
    let till = Arc::new(Till::open(Arc::clone(&load), office, seed).await);
    drain
        .wait()
        .await
        .context("the stack is not idle before the run")?;

    let baseline = Baseline::take(&database, &load).await?;
    let (begun, begun_at) = (Instant::now(), Utc::now());
    say(&format!(
        "seed {seed}: {} clients, {} changes, every fault {} times or more",
        options.clients,
        options.changes(),
        options.faults_each()
    ));
    let clients = clients::start(&load, options.clients.get());
    let desk = Arc::new(Desk::new(Arc::clone(&load), practice, seed));
    let booking = bookings::start(&desk);
    let registry = Arc::new(Registry::new(Arc::clone(&load), seed));
    let merging = merges::start(&registry);
    let shelf = Arc::new(imports::Shelf::new(Arc::clone(&load), seed));
    let importing = imports::start(&shelf);
    let billing = cashiers::start(&till);
    let stage = Stage::new(
        Arc::clone(&load),
        database.clone(),
        baseline.topic.clone(),
        seed,
    );
    let stage = Arc::new(stage);
    let watching = progress::watch(Arc::clone(&load), Arc::clone(&stage), begun);
    faults::happen(&stage, &options.kinds(), options.faults_each()).await?;
    load.stop.store(true, Ordering::Relaxed);
    clients.join().await?;
    booking.join().await?;
    merging.join().await?;
    importing.join().await?;
    billing.join().await?;
    watching.abort();
    let loaded = begun.elapsed();

    say(&format!(
        "{:>4} s  the clients are done; waiting for the backlog",
        loaded.as_secs()
    ));
    load.let_go().await;
    let drained = drain.wait().await;
    say(&format!(
        "{:>4} s  checking {} changes of patients, {} of appointments, {} of the books, {} pairs of records and {} files",
        begun.elapsed().as_secs(),
        load.ledger.len(),
        desk.entries().len(),
        till.acts().len(),
        registry.pairs().len(),
        shelf.files().len(),
    ));
    let observation = Observation::take(
        &clinic,
        &database,
        &load,
        (&desk, &registry, &shelf, &till),
        &stage,
        &baseline,
    )
    .await?;
    let invariants = invariants::check(&load.ledger.changes(), &observation, drained.err());
    let report = Report {
        seed,
        begun_at,
        clients: options.clients.get(),
        seconds_under_load: loaded.as_secs_f64(),
        seconds: begun.elapsed().as_secs_f64(),
        faults: stage.tally(&options.kinds()),
        invariants,
        ..Report::of(&load, &observation)
    };
    report.write(&stack.directory().join("faults"))?;
    std::io::Write::write_all(&mut Term::stdout(), report.to_string().as_bytes())?;
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A random duration between these milliseconds.
fn between(random: &mut fastrand::Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(random.u64(least..=most))
}

//! What issuing an invoice and recording a payment cost, beside their bare SQL, and what happens to the
//! number of the invoice when everybody issues at once: `make issue-and-pay` runs it. An argument changes
//! how many rounds there are.
//!
//! The service and the bare SQL take turns, so that a busy machine slows down both. Both write the same
//! rows: in the end the ledger is verified.
//!
//! Everything is written to a database of its own, which is dropped afterwards.

#[path = "issue-and-pay/bare.rs"]
mod bare;
#[path = "issue-and-pay/clinic.rs"]
mod clinic;

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::Write as _,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use schemas::{Service, together};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::clinic::{Clinic, Draft};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many patients there are, each with a client that issues at the same time as all others.
const PATIENTS: usize = 50;

/// How many rounds there are, in each of which an invoice of every patient is issued and paid by the
/// service and another one by bare SQL: one after another, and then at the same time.
const ROUNDS: usize = 20;

#[tokio::main]
async fn main() -> Outcome<()> {
    let options: PgConnectOptions = std::env::var("DATABASE_URL")?.parse()?;
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse()?,
        None => ROUNDS,
    };
    let mut server = PgConnection::connect_with(&options).await?;
    let name = format!("issue_and_pay_{}", Uuid::now_v7().simple());
    execute(&mut server, format!("CREATE DATABASE {name}")).await?;
    let measured = Box::pin(measure(options.database(&name), rounds)).await;
    execute(&mut server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    std::io::stdout().write_all(measured?.as_bytes())?;
    Ok(())
}

async fn execute(server: &mut PgConnection, statement: String) -> Outcome<()> {
    sqlx::query(AssertSqlSafe(statement))
        .execute(server)
        .await?;
    Ok(())
}

async fn measure(options: PgConnectOptions, rounds: usize) -> Outcome<String> {
    // As many connections as the service has.
    let database = store::pool_with(options, 10, Duration::from_secs(30));
    together([
        Service::Patients,
        Service::Audit,
        Service::Auth,
        Service::Billing,
    ])
    .run(&database)
    .await?;
    let clinic = Clinic::open(&database, PATIENTS).await?;

    let (mut issue, mut pay) = (Two::default(), Two::default());
    for _ in 0..rounds {
        for patient in 0..PATIENTS {
            let (ours, bare) = (clinic.draft(patient).await?, clinic.draft(patient).await?);
            issue.ours.push(timed(clinic.issue(&ours)).await?);
            issue
                .bare
                .push(Box::pin(timed(bare::issue(&database, &bare))).await?);
            pay.ours.push(timed(clinic.pay(&ours)).await?);
            pay.bare
                .push(Box::pin(timed(bare::pay(&database, &bare))).await?);
        }
    }
    let mut at_once = Two::default();
    for _ in 0..rounds {
        let ours = drafts(&clinic).await?;
        let all = ours.iter().map(|draft| timed(clinic.issue(draft)));
        at_once.ours.extend(try_join_all(all).await?);
        let bare = drafts(&clinic).await?;
        let all = bare
            .iter()
            .map(|draft| timed(bare::issue(&database, draft)));
        at_once.bare.extend(try_join_all(all).await?);
    }

    let verified = billing::verify_ledger::verify_ledger(&database).await?;
    if !verified.intact {
        return Err(format!("the ledger does not verify: {:?}", verified.faults).into());
    }
    database.close().await;
    report(&[
        ("issue", issue),
        ("pay", pay),
        ("issue, everybody at once", at_once),
    ])
}

async fn drafts(clinic: &Clinic) -> Outcome<Vec<Draft>> {
    try_join_all((0..PATIENTS).map(|patient| clinic.draft(patient))).await
}

async fn timed(work: impl Future<Output = Outcome<()>>) -> Outcome<Duration> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed())
}

/// How long the same took with the service and without.
#[derive(Debug, Default)]
struct Two {
    ours: Vec<Duration>,
    bare: Vec<Duration>,
}

/// In milliseconds.
fn percentile(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let place = (durations.len() * percent).div_ceil(100).saturating_sub(1);
    let duration = durations.get(place).copied().unwrap_or_default();
    duration.as_secs_f64() * 1000.0
}

fn report(measured: &[(&str, Two)]) -> Outcome<String> {
    let mut said = String::new();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    writeln!(
        said,
        "| {PATIENTS} patients, load {load} | p50 | bare SQL | ratio | p99 | bare SQL | ratio |"
    )?;
    writeln!(said, "|---|---:|---:|---:|---:|---:|---:|")?;
    for (what, two) in measured {
        let mut row = format!("| {what} |");
        for percent in [50, 99] {
            let [ours, bare] =
                [&two.ours, &two.bare].map(|all| percentile(&mut all.clone(), percent));
            write!(row, " {ours:.1} ms | {bare:.1} ms | {:.1} |", ours / bare)?;
        }
        writeln!(said, "{row}")?;
    }
    Ok(said)
}

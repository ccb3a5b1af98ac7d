//! `restore-drill`: restores PostgreSQL and the tables of DynamoDB to one moment, as
//! docs/operations.md says, and checks that the system goes on from there.
//!
//! People work, a base backup is taken, they go on, and moment T comes. What they do then is the
//! accident. The database is recovered to T from the backup and the archived journal, the tables are
//! put back to T; topics and the positions of consumers stay as they are.
//!
//! With `--without-tables`, only the database is restored. Then the drill has to fail: new events
//! have no effect, because the marks in the tables are past them.

mod afterwards;
mod backup;
mod evidence;
mod figures;
mod invariants;
mod lost;
mod report;
mod trail;
mod work;

use std::{process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use clap::Parser;
use console::{Term, style};
use serde_json::Value;
use sqlx::PgPool;
use system_tests::{CONSUMERS, Clinic, Drain, Invariant, Process};

use crate::{
    backup::Backup, evidence::Evidence, figures::Figures, lost::Lost, report::Steps, trail::Ends,
    work::Staff,
};

/// The tables that say what consumers have done.
const TABLES: [&str; 2] = ["analytics", "notifications"];

/// Show that a restore to one moment leaves a system that is right and goes on
///
/// Runs against the stack whose environment `local-stack run` provides, and needs it for itself: use
/// `make restore-drill`.
#[derive(Parser)]
#[command(name = "restore-drill", version)]
struct Options {
    /// Restore only the database, which has to fail
    #[arg(long)]
    without_tables: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(&Options::parse())).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let what = style("The drill was aborted:").for_stderr().red().bold();
            // If this fails, there is nobody to report it to.
            let _ = Term::stderr().write_line(&format!("{what} {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<bool> {
    let clinic = &Clinic::alone();
    let database = &store::pool("restore-drill")?;
    let mut steps = Steps::new();
    let schedules = clinic.aws().enable_schedules(false).await;
    let aws = clinic.aws();
    // Its queue begins it, whatever is consumed: a message that is to wait at T would be sent.
    aws.enable_event_source_mapping("send-due-messages", false)
        .await;
    steps.say(&format!(
        "{schedules} schedules are off: the drill calls what they would call"
    ));
    let mut staff = Staff::open(clinic).await?;

    for _ in 0..2 {
        staff.work().await?;
    }
    quiet(clinic, database).await?;
    steps.say(&format!("{}; everything is consumed", staff.told()));
    let backup = Backup::take(database, clinic.stack()).await?;
    steps.say(&format!(
        "base backup of {} MB; the journal is archived from now on",
        backup.megabytes()
    ));
    staff.work().await?;
    quiet(clinic, database).await?;
    let before = Before::take(&mut staff, clinic, database).await?;
    steps.say(&format!(
        "T is {}: the tables are copied, {} event waits in the outbox",
        before.moment, before.waiting
    ));

    for _ in 0..2 {
        staff.work().await?;
    }
    staff.erase_somebody().await?;
    quiet(clinic, database).await?;
    let (last_ends, lost) = (
        Ends::of_all(clinic).await?,
        Lost::list(database, &before.ends, before.moment).await?,
    );
    steps.say(&format!(
        "the accident: {lost} since T, consumed, and now to be undone"
    ));

    consume(clinic, false).await;
    backup.complete(database).await?;
    let begun = Instant::now();
    restore(&backup, &before, clinic, database, &mut steps).await?;
    if options.without_tables {
        steps.say("THE TABLES STAY AS THEY ARE (--without-tables)");
    } else {
        before.put_tables_back(clinic).await;
        steps.say("the tables are as they were at T");
    }
    let trail = trail::Verdict::take(clinic, database, &before.ends, &last_ends, &lost).await?;
    steps.say("the audit trail is verified, before anybody may add to it");
    let seen_again = Evidence::look(&staff).await?;
    let out_of_use = begun.elapsed();
    let mut invariants = vec![
        invariants::all_is_as_at_t(&before.seen, &seen_again),
        invariants::nothing_came_after_t(&before.seen, &seen_again),
        trail.check(&before.ends, &last_ends),
    ];
    // There is no going on from another moment.
    if report::hold(&invariants) {
        invariants.extend(go_on(&mut staff, &lost, clinic, database, &mut steps).await?);
    }
    let report = report::Report {
        seconds: steps.elapsed().as_secs_f64(),
        out_of_use: out_of_use.as_secs_f64(),
        megabytes: backup.megabytes(),
        without_tables: options.without_tables,
        invariants,
    };
    std::io::Write::write_all(&mut Term::stdout(), report.to_string().as_bytes())?;
    Ok(report::hold(&report.invariants))
}

/// Works with what was restored.
async fn go_on(
    staff: &mut Staff<'_>,
    lost: &Lost,
    clinic: &Clinic,
    database: &PgPool,
    steps: &mut Steps,
) -> Result<[Invariant; 8]> {
    lost.carry_over(database).await?;
    consume(clinic, true).await;
    quiet(clinic, database).await?;
    let at_once = Figures::take(clinic, database).await?;
    let repeated = lost.repeat(staff).await?;
    quiet(clinic, database).await?;
    steps.say("what has left the house is known again, and the consumers go on");
    staff.begin_anew();
    staff.work().await?;
    quiet(clinic, database).await?;
    steps.say(&format!("{} since the restore; consumed", staff.told()));

    let figures = Figures::take(clinic, database).await?;
    Ok([
        invariants::figures(
            "the figures equal a recount, with what waited at T",
            &at_once,
        ),
        invariants::new_changes_count(&at_once, &figures),
        invariants::figures("the figures equal a recount in the end", &figures),
        afterwards::new_changes_have_their_effects(staff, database).await?,
        afterwards::nobody_is_told_twice(lost, clinic).await,
        invariants::numbers(lost, &repeated, staff.made()),
        afterwards::the_erased_are_gone(lost, staff, clinic).await?,
        afterwards::trail_and_books_verify(clinic).await,
    ])
}

/// Starts the consumers, or stops them.
async fn consume(clinic: &Clinic, enabled: bool) {
    for (consumer, _) in CONSUMERS {
        let aws = clinic.aws();
        aws.enable_event_source_mapping(consumer, enabled).await;
    }
}

/// Recovers the database to T.
async fn restore(
    backup: &Backup,
    before: &Before,
    clinic: &Clinic,
    database: &PgPool,
    steps: &mut Steps,
) -> Result<()> {
    let begun = Instant::now();
    backup.restore(clinic.stack(), before.moment).await?;
    backup::recovered(database).await?;
    steps.say(&format!(
        "the database is recovered to T and promoted, in {:.0} s",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Waits until nothing is to be delivered, sent or consumed.
async fn quiet(clinic: &Clinic, database: &PgPool) -> Result<()> {
    let drain = Drain {
        clinic,
        database,
        short: true,
    };
    drain
        .wait()
        .await
        .context("the stack does not come to rest")
}

/// What there is at T.
struct Before {
    moment: DateTime<Utc>,
    seen: Evidence,
    ends: Ends,
    tables: Vec<(&'static str, Vec<Value>)>,
    /// How many events wait for the broker.
    waiting: i64,
}

impl Before {
    /// Has an event and a message wait, and looks at everything.
    async fn take(staff: &mut Staff<'_>, clinic: &Clinic, database: &PgPool) -> Result<Self> {
        lost::make_a_reminder_due(database).await?;
        let _silent = Process::of_service(clinic.stack(), "kafka").freeze();
        staff.move_house(0).await?;
        let waiting = sqlx::query_scalar("SELECT count(*) FROM patients.outbox");
        let waiting = waiting.fetch_one(database).await?;
        ensure!(waiting > 0, "nothing waits in the outbox");
        let seen = Evidence::look(staff).await?;
        let mut tables = Vec::new();
        for table in TABLES {
            tables.push((table, clinic.aws().items(table).await));
        }
        Ok(Self {
            seen,
            ends: Ends::of_all(clinic).await?,
            tables,
            waiting,
            moment: backup::now(database).await?,
        })
    }

    async fn put_tables_back(&self, clinic: &Clinic) {
        for (table, items) in &self.tables {
            clinic.aws().replace_items(table, items).await;
        }
    }
}

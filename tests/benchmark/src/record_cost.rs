//! `make record-cost`: PostgreSQL's processor time for a record of the audit trail, of this commit's
//! `audit.append` and, if wanted, of another commit's, alternately.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    Options,
    against::{Commit, Database},
    processor_time::of_process,
    repository::repository,
    say,
};

/// How often each kind is measured.
const ROUNDS: usize = 7;
/// Of how many transactions in a row, each on one connection.
const TRANSACTIONS: u32 = 2_000;
/// In how many transactions the trail is filled: an append locks its chain until the end.
const BATCH: u32 = 10_000;

const APPEND: &str = "
    SELECT audit.append($1, $2, 'CLINICIAN', $3, 'SUCCEEDED', NULL, $4::uuid[], NULL, NULL,
                        '203.0.113.7', 'benchmark')";

/// Reads by 500 people of 200,000 patients, as many of them as is asked for.
const FILL: &str = "
    SELECT audit.append(
        gen_random_uuid(), lpad(to_hex((random() * 499)::integer), 32, '0')::uuid, 'CLINICIAN',
        'READ_PATIENT', 'SUCCEEDED', NULL,
        ARRAY[lpad(to_hex((random() * 199999)::integer), 32, '0')::uuid], NULL, NULL,
        '203.0.113.7', 'benchmark')
    FROM generate_series(1, $1::integer)";

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: what it takes to be asked and to answer.
    RoundTrip,
    Read,
    PageOfTwenty,
}

impl Kind {
    const ALL: [Self; 3] = [Self::RoundTrip, Self::Read, Self::PageOfTwenty];

    const fn label(self) -> &'static str {
        match self {
            Self::RoundTrip => "a round trip without a record",
            Self::Read => "a record of a read",
            Self::PageOfTwenty => "a record of a page of twenty",
        }
    }
}

/// A trail, and what was measured of it: for each kind, its rounds.
struct Trail {
    label: String,
    database: Database,
    connection: PgConnection,
    backend: u32,
    used: [Vec<Duration>; Kind::ALL.len()],
}

/// Measures and prints.
///
/// # Errors
/// If the database fails.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn measure(options: &Options) -> Result<ExitCode> {
    let mut trails = Vec::new();
    if let Some(revision) = &options.against {
        let commit = Commit::find(revision)?;
        commit.extract()?;
        let theirs = Database::create("theirs", &commit.source()).await?;
        trails.push(Trail::of(commit.short(), theirs, options.records).await?);
    }
    let ours = Database::create("ours", repository()).await?;
    trails.push(Trail::of("this commit", ours, options.records).await?);
    for round in 0..ROUNDS {
        say(&format!("round {} of {ROUNDS}", round + 1))?;
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            for trail in &mut trails {
                let used = trail.round(kind).await?;
                trail.used[index].push(used);
            }
        }
    }
    writeln!(stdout(), "{}", table(&trails, options.records)?)?;
    for trail in trails {
        trail.connection.close().await?;
        trail.database.delete().await?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Trail {
    /// A trail of this many records.
    async fn of(label: &str, database: Database, records: u32) -> Result<Self> {
        let mut connection = PgConnection::connect(&database.url).await?;
        let mut left = records;
        while left > 0 {
            if left.is_multiple_of(10 * BATCH) {
                say(&format!("{label}: {left} records to be created"))?;
            }
            let some = left.min(BATCH);
            sqlx::query(FILL)
                .bind(i32::try_from(some)?)
                .execute(&mut connection)
                .await?;
            left -= some;
        }
        sqlx::query("VACUUM ANALYZE audit.record")
            .execute(&mut connection)
            .await?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await?;
        Ok(Self {
            label: label.to_owned(),
            database,
            connection,
            backend: backend.try_into()?,
            used: Default::default(),
        })
    }

    /// What a transaction of this kind takes.
    async fn round(&mut self, kind: Kind) -> Result<Duration> {
        let before = of_process(self.backend)?;
        for _ in 0..TRANSACTIONS {
            self.transaction(kind).await?;
        }
        let after = of_process(self.backend)?;
        Ok(after.saturating_sub(before) / TRANSACTIONS)
    }

    async fn transaction(&mut self, kind: Kind) -> Result<()> {
        let (action, patients) = match kind {
            Kind::RoundTrip => {
                sqlx::query("SELECT 1")
                    .execute(&mut self.connection)
                    .await?;
                return Ok(());
            }
            Kind::Read => ("READ_PATIENT", 1),
            Kind::PageOfTwenty => ("LIST_PATIENTS", 20),
        };
        let patients: Vec<Uuid> = (0..patients).map(|_| Uuid::new_v4()).collect();
        sqlx::query(APPEND)
            .bind(Uuid::new_v4())
            .bind(Uuid::new_v4())
            .bind(action)
            .bind(patients)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }
}

/// The lowest but one: others use the processors, too, and the lowest may be luck.
fn typical(rounds: &[Duration]) -> Option<Duration> {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable();
    rounds.get(1).or_else(|| rounds.first()).copied()
}

fn table(trails: &[Trail], records: u32) -> Result<Table> {
    let mut header = vec![format!(
        "PostgreSQL's processor time, {records} records before"
    )];
    header.extend(trails.iter().map(|trail| trail.label.clone()));
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let mut row = vec![kind.label().to_owned()];
        for trail in trails {
            let used = typical(&trail.used[index]).context("nothing was measured")?;
            row.push(format!("{} µs", used.as_micros()));
        }
        table.add_row(row);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_but_one_is_typical() {
        let rounds = [90, 12, 75, 300, 76].map(Duration::from_micros);
        assert_eq!(typical(&rounds), Some(Duration::from_micros(75)));
        assert_eq!(typical(&rounds[..1]), Some(Duration::from_micros(90)));
        assert_eq!(typical(&[]), None);
    }
}

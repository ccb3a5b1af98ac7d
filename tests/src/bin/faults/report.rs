//! The result of the run, for people and for programs.

use std::{collections::BTreeMap, fmt, fs, io::Write as _, path::Path, sync::atomic::Ordering};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;
use system_tests::{Invariant, write_invariants};

use crate::{
    bookings::{self, Entry},
    cashiers::{self, Act},
    clients::Load,
    faults::FaultKind,
    imports::{File, LINES},
    ledger::{Change, Kind},
    merges::{Pair, Step},
    observation::Observation,
    requests::Latency,
};

/// The report of one run.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// Repeats the random choices.
    pub(crate) seed: u64,
    pub(crate) begun_at: DateTime<Utc>,
    pub(crate) clients: usize,
    /// How long the clients were running.
    pub(crate) seconds_under_load: f64,
    /// Until everything was checked.
    pub(crate) seconds: f64,
    pub(crate) changes: Changes,
    /// The numbers of changes of appointments, by kind and outcome.
    pub(crate) bookings: BTreeMap<bookings::Change, bookings::Tally>,
    /// The numbers of changes of the books.
    pub(crate) books: BTreeMap<cashiers::Kind, usize>,
    /// How often each fault happened.
    pub(crate) faults: BTreeMap<FaultKind, u32>,
    pub(crate) invariants: Vec<Invariant>,
    /// Of all requests, in milliseconds.
    pub(crate) latency: Latency,
    #[serde(skip)]
    pub(crate) ledger: Vec<Change>,
    #[serde(skip)]
    pub(crate) booking_ledger: Vec<Entry>,
    #[serde(skip)]
    pub(crate) acts: Vec<Act>,
    #[serde(skip)]
    pub(crate) pairs: Vec<Pair>,
    #[serde(skip)]
    pub(crate) files: Vec<File>,
}

/// The numbers of changes by outcome.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Changes {
    acknowledged: u64,
    created: usize,
    updated: usize,
    deleted: usize,
    restored: usize,
    refused: usize,
    unknown: usize,
    /// Attempts beyond the first.
    retries: u64,
    requests: usize,
}

impl Report {
    /// The part of the report about the clients.
    pub(crate) fn of(load: &Load, observation: &Observation) -> Self {
        let ledger = load.ledger.changes();
        let acknowledged = |kind| {
            let changes = ledger.iter().filter(|change| change.is_acknowledged());
            changes.filter(|change| change.kind == kind).count()
        };
        let unknown = ledger.iter().filter(|change| change.is_unknown()).count();
        let (created, updated, deleted, restored) = (
            acknowledged(Kind::Create),
            acknowledged(Kind::Update),
            acknowledged(Kind::Delete),
            acknowledged(Kind::Restore),
        );
        Self {
            changes: Changes {
                acknowledged: load.acknowledged.load(Ordering::Relaxed),
                created,
                updated,
                deleted,
                restored,
                refused: ledger.len() - created - updated - deleted - restored - unknown,
                unknown,
                retries: load.retries.load(Ordering::Relaxed),
                requests: observation.requests.times.len(),
            },
            bookings: bookings::tally(&observation.bookings.entries),
            books: observation
                .books
                .acts
                .iter()
                .fold(BTreeMap::new(), |mut books, act| {
                    *books.entry(act.kind).or_default() += 1;
                    books
                }),
            acts: observation.books.acts.clone(),
            booking_ledger: observation.bookings.entries.clone(),
            pairs: observation.pairs.clone(),
            files: observation.files.clone(),
            latency: observation.requests.latency(),
            ledger,
            ..Self::default()
        }
    }

    /// Whether all invariants hold.
    pub(crate) fn holds(&self) -> bool {
        self.invariants
            .iter()
            .all(|invariant| invariant.violations.is_empty())
    }

    /// Writes the report, and beside it the ledgers, in which violations can be looked up by name.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let cannot = || format!("cannot write to {}", folder.display());
        fs::create_dir_all(folder).with_context(cannot)?;
        let report = serde_json::to_vec_pretty(self)?;
        fs::write(folder.join("report.json"), report).with_context(cannot)?;
        fs::write(folder.join("ledger.jsonl"), lines(&self.ledger)?).with_context(cannot)?;
        let bookings = lines(&self.booking_ledger)?;
        fs::write(folder.join("bookings.jsonl"), bookings).with_context(cannot)?;
        fs::write(folder.join("books.jsonl"), lines(&self.acts)?).with_context(cannot)?;
        fs::write(folder.join("merges.jsonl"), lines(&self.pairs)?).with_context(cannot)?;
        fs::write(folder.join("imports.jsonl"), lines(&self.files)?).with_context(cannot)
    }
}

/// As JSON, one to a line.
fn lines<T: Serialize>(entries: &[T]) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut lines, entry)?;
        lines.write_all(b"\n")?;
    }
    Ok(lines)
}

/// As Markdown.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes {
            acknowledged,
            created,
            updated,
            deleted,
            restored,
            refused,
            unknown,
            retries,
            requests,
        } = &self.changes;
        let Latency { p50, p99, max } = self.latency;
        writeln!(
            f,
            "\nSeed {}, {} clients, {:.0} s under load, {:.0} s with all checks, {}.\n",
            self.seed,
            self.clients,
            self.seconds_under_load,
            self.seconds,
            self.begun_at.format("%Y-%m-%d %H:%M UTC"),
        )?;
        writeln!(
            f,
            "{acknowledged} changes acknowledged ({created} created, {updated} updated, {deleted} \
             deleted, {restored} restored), {refused} rejected, {unknown} unknown; {requests} responses, {retries} retries. \
             Latency: p50 {p50:.0} ms, p99 {p99:.0} ms, longest {max:.0} ms.\n",
        )?;
        let mut bookings = table([
            "change of an appointment",
            "acknowledged",
            "rejected",
            "unknown",
        ]);
        for (change, tally) in &self.bookings {
            bookings.add_row([
                change.name().to_owned(),
                tally.acknowledged.to_string(),
                tally.refused.to_string(),
                tally.unknown.to_string(),
            ]);
        }
        writeln!(f, "{bookings}\n")?;
        let mut books = table(["change of the books", "acknowledged"]);
        for (change, times) in &self.books {
            books.add_row([change.name().to_owned(), times.to_string()]);
        }
        writeln!(f, "{books}\n")?;
        let steps = self.pairs.iter().flat_map(|pair| &pair.steps);
        let of = |wanted: fn(&Step) -> bool| steps.clone().filter(|step| wanted(step)).count();
        writeln!(
            f,
            "{} pairs of records: {} merges, {} undone, {} survivors deleted, {} pairs erased.\n",
            self.pairs.len(),
            of(|step| matches!(step, Step::Merged { .. })),
            of(|step| matches!(step, Step::Undone { .. })),
            of(|step| matches!(step, Step::Deleted { .. })),
            of(|step| matches!(step, Step::Erased)),
        )?;
        let imports = self.files.iter().map(|file| file.imports.len());
        writeln!(
            f,
            "{} files of {LINES} patients, imported {} times.\n",
            self.files.len(),
            imports.sum::<usize>(),
        )?;
        let mut faults = table(["fault", "happened"]);
        for (kind, times) in &self.faults {
            faults.add_row([kind.name(), times.to_string()]);
        }
        writeln!(f, "{faults}\n")?;
        write_invariants(f, &self.invariants)
    }
}

fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

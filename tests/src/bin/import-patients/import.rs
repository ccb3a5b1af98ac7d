//! The import itself: one file for all rows that are not settled.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use chrono::Utc;
use system_tests::synthea::{Row, Rows};

use crate::{
    api::{Api, State},
    journal::{Entry, Journal, Outcome, Pending},
    progress::Progress,
    report::{Report, ReportedRow},
};

/// The most rows of one file: as many as the API takes.
const MOST: usize = 100_000;

/// How often the API is asked how far it is.
const PAUSE: Duration = Duration::from_millis(500);

/// The settings of an import.
pub(crate) struct Import {
    /// The API that the patients are sent to.
    pub(crate) api: Api,
    /// The most rows to process, of those that are not settled.
    pub(crate) limit: usize,
    /// Set when the import should stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Import {
    /// Imports every row that is not settled. Stops early when told to: the API goes on with what it
    /// has, and the next run learns of it.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub(crate) async fn run(
        &self,
        rows: Rows,
        mut journal: Journal,
        file: &Path,
    ) -> anyhow::Result<Report> {
        let (started, started_at) = (Instant::now(), Utc::now());
        let total = rows.count;
        let before = u64::try_from(journal.ids().len())?;
        let mut progress = Progress::new(total);
        progress.skip(before);
        let imported = self.import(rows, &mut journal, &mut progress).await;
        let failure = imported.err();
        progress.end();

        let mut report = Report {
            file: file.to_owned(),
            api_url: self.api.url().to_owned(),
            started_at,
            seconds: started.elapsed().as_secs_f64(),
            rows: total,
            before,
            created: 0,
            already_there: 0,
            left_out: Vec::new(),
            refused: Vec::new(),
            interrupted: self.stop.load(Ordering::Relaxed),
            failure: failure.map(|error| format!("{error:#}")),
        };
        for entry in journal.entries() {
            match &entry.outcome {
                Outcome::Created { .. } => report.created += 1,
                Outcome::AlreadyThere { .. } => report.already_there += 1,
                Outcome::LeftOut { reason } => report.left_out.push(row(entry, reason)),
                Outcome::Refused { reason } => report.refused.push(row(entry, reason)),
            }
        }
        report.left_out.sort_by_key(|row| row.line);
        report.refused.sort_by_key(|row| row.line);
        Ok(report)
    }

    async fn import(
        &self,
        rows: Rows,
        journal: &mut Journal,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        if let Some(pending) = journal.take_pending() {
            self.wait(&pending, true, journal, progress).await?;
        }
        let known = journal.ids();
        let open = rows.filter(|row| !known.contains(&row.id)).take(self.limit);
        let mut open = open.peekable();
        while open.peek().is_some() && !self.is_stopped() {
            self.import_some(open.by_ref().take(MOST), journal, progress)
                .await?;
        }
        Ok(())
    }

    /// Has the API import these rows.
    async fn import_some(
        &self,
        rows: impl Iterator<Item = Row>,
        journal: &mut Journal,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let (mut upload, mut sent) = (Vec::new(), Vec::new());
        for row in rows {
            let (line, id) = (row.line, row.id.clone());
            match patient(row) {
                Ok(mut patient) => {
                    sent.push((line, id));
                    upload.append(&mut patient);
                }
                Err(outcome) => {
                    progress.settled(&outcome);
                    journal.add(Entry { line, id, outcome })?;
                }
            }
        }
        if sent.is_empty() {
            return Ok(());
        }
        let import = self.api.start(upload.len()).await?;
        let pending = Pending {
            import: import.id,
            rows: sent,
        };
        journal.wait_for(pending.clone())?;
        self.api.upload(&import, upload).await?;
        self.wait(&pending, false, journal, progress).await
    }

    /// Waits until these rows have an outcome, or the import is told to stop.
    async fn wait(
        &self,
        pending: &Pending,
        resumed: bool,
        journal: &mut Journal,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let settled = u64::try_from(journal.ids().len())?;
        while !self.is_stopped() {
            let Some(standing) = self.api.standing(pending.import).await? else {
                return Ok(());
            };
            match standing.state {
                // The run before ended before it had sent the rows: they are sent anew.
                State::AwaitingUpload if resumed => return Ok(()),
                State::AwaitingUpload | State::Running => {
                    progress.at(settled, standing.processed);
                    tokio::time::sleep(PAUSE).await;
                }
                State::Expired => return Ok(()),
                State::Refused => bail!(
                    "the API refuses the file: {}",
                    standing.refusal.unwrap_or_default()
                ),
                State::Completed => {
                    progress.at(settled, 0);
                    for of in self.api.outcomes(&standing).await? {
                        let place = of
                            .line
                            .checked_sub(1)
                            .and_then(|place| pending.rows.get(place));
                        let (line, id) = place.context("an outcome of a line that was not sent")?;
                        let outcome = of.outcome();
                        progress.settled(&outcome);
                        let (line, id) = (*line, id.clone());
                        journal.add(Entry { line, id, outcome })?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// The line of a row in the file for the API, or the outcome of one that is not sent.
fn patient(row: Row) -> Result<Vec<u8>, Outcome> {
    // A clinic does not treat them.
    if let Some(day) = row.died {
        let reason = format!("died on {day}");
        return Err(Outcome::LeftOut { reason });
    }
    let refused = |reason| Outcome::Refused { reason };
    let patient = row.patient.map_err(refused)?;
    let mut line = serde_json::to_vec(&patient).map_err(|error| refused(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

fn row(entry: &Entry, reason: &str) -> ReportedRow {
    ReportedRow {
        line: entry.line,
        id: entry.id.clone(),
        reason: reason.to_owned(),
    }
}

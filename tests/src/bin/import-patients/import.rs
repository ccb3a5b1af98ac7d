//! The import itself: row by row, several at a time.

use std::{
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use chrono::Utc;
use futures::{StreamExt as _, stream};
use system_tests::synthea::{Row, Rows};

use crate::{
    api::{Api, ApiError},
    journal::{Entry, Journal, Outcome},
    progress::Progress,
    report::{Report, ReportedRow},
};

/// The settings of an import.
pub(crate) struct Import {
    /// The API that the patients are sent to.
    pub(crate) api: Api,
    /// The number of rows in progress at the same time.
    pub(crate) concurrency: usize,
    /// The most rows to process, of those that are not settled.
    pub(crate) limit: usize,
    /// Set when the import should stop.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Import {
    /// Imports every row that is not settled. Stops early when told to, and at the first row whose
    /// outcome is unknown: the next run continues there.
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
        let known = journal.ids();
        let before = u64::try_from(known.len())?;
        let mut progress = Progress::new(total);
        let mut failure: Option<anyhow::Error> = None;

        progress.skip(before);
        let open = rows.filter(|row| !known.contains(&row.id)).take(self.limit);
        let failed = AtomicBool::new(false);
        let goes_on = || !self.stop.load(Ordering::Relaxed) && !failed.load(Ordering::Relaxed);
        let mut settled = stream::iter(open)
            .take_while(|_| ready(goes_on()))
            .map(|row| async { (row.line, row.id.clone(), self.settle(row).await) })
            .buffer_unordered(self.concurrency);
        while let Some((line, id, outcome)) = settled.next().await {
            match outcome {
                Ok(outcome) => {
                    progress.settled(&outcome);
                    journal.add(Entry { line, id, outcome })?;
                }
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    let error = anyhow::Error::new(error).context(format!("line {line}"));
                    failure.get_or_insert(error);
                }
            }
        }
        drop(settled);
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
                Outcome::AlreadyThere => report.already_there += 1,
                Outcome::LeftOut { reason } => report.left_out.push(row(entry, reason)),
                Outcome::Refused { reason } => report.refused.push(row(entry, reason)),
            }
        }
        report.left_out.sort_by_key(|row| row.line);
        report.refused.sort_by_key(|row| row.line);
        Ok(report)
    }

    async fn settle(&self, row: Row) -> Result<Outcome, ApiError> {
        // The API cannot record a death, so they would be treated like any other patient.
        if let Some(day) = row.died {
            let reason = format!("died on {day}");
            return Ok(Outcome::LeftOut { reason });
        }
        match row.patient {
            Ok(patient) => self.api.create(&patient).await,
            Err(reason) => Ok(Outcome::Refused { reason }),
        }
    }
}

fn row(entry: &Entry, reason: &str) -> ReportedRow {
    ReportedRow {
        line: entry.line,
        id: entry.id.clone(),
        reason: reason.to_owned(),
    }
}

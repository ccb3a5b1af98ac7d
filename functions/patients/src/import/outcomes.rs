//! The file that says what became of each line.

use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::{batch::Job, outcomes_key};
use crate::{
    files::Files,
    parts::{Parts, SAVED_AT},
};

/// How many lines are read at once.
const PAGE: i64 = 5_000;

/// What became of a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    line: i64,
    outcome: String,
    patient_id: Option<Uuid>,
    reason: Option<String>,
}

/// Writes the file. If it breaks off, it is written anew: it takes seconds.
///
/// # Errors
/// If the database or the bucket fails.
pub(super) async fn write(database: &PgPool, files: &Files, job: &Job) -> Result<(), api::Error> {
    let key = outcomes_key(job.id);
    let mut parts = Parts::begin(files, &key, "application/x-ndjson").await?;
    let mut text = Vec::new();
    let mut last = 0;
    loop {
        let page = sqlx::query_as!(
            Row,
            "SELECT line, outcome, patient_id, reason FROM patients.import_line
             WHERE import_id = $1 AND line > $2 ORDER BY line LIMIT $3",
            job.id,
            last,
            PAGE,
        )
        .fetch_all(database)
        .await?;
        let Some(end) = page.last() else { break };
        last = end.line;
        for outcome in &page {
            serde_json::to_writer(&mut text, outcome)?;
            text.push(b'\n');
        }
        if text.len() >= SAVED_AT {
            parts.write(files, &key, std::mem::take(&mut text)).await?;
            job.renew(database).await?;
        }
    }
    parts.end(files, &key, text).await?;
    parts.finish(files, &key).await?;
    Ok(())
}

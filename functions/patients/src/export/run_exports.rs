//! When somebody wants an export, on a schedule, and when the previous run had no time for the rest:
//! writes the files.

use futures::future::BoxFuture;
use std::time::Instant;

use audit_trail::{Action, Outcome, Record, Subject};
use identity::{Permission, Role};
use sqlx::PgPool;
use store::Transaction;
use uuid::Uuid;

use super::{key, on_record, table};
use crate::{
    files::{FileError, Files},
    import::FileFormat,
    parts::{Parts, SAVED_AT},
    patient::Patient,
    storage,
    stored::stored,
};

/// How many patients are read at once.
const PAGE: i64 = 1_000;

/// How many patients a record of the audit trail names at most.
const ON_RECORD: usize = 100;

/// What exports are written with.
#[derive(Debug)]
pub struct Exporter {
    /// The service's database.
    pub database: PgPool,
    /// Where the files are.
    pub files: Files,
}

/// What a run has done.
#[derive(Debug, Default, serde::Serialize)]
pub struct Ran {
    /// How many exports have ended.
    pub ended: usize,
    /// Whether there is more to do.
    pub unfinished: bool,
}

/// An export that is being written.
struct Job {
    id: Uuid,
    /// Whose turn it is: another run has another one.
    lease: Uuid,
    format: FileFormat,
    restricted: bool,
    last: Uuid,
    parts: Option<Parts>,
    actor: Uuid,
    role: Role,
}

impl Exporter {
    /// Writes files until there is nothing left to do, or the time is up.
    ///
    /// # Errors
    /// If the database or the bucket fails. What is written is kept, and the next run goes on.
    //
    // The future of a call to AWS is so deeply nested that programs would not compile with it.
    pub fn run(&self, until: Instant) -> BoxFuture<'_, Result<Ran, api::Error>> {
        Box::pin(self.run_all(until))
    }

    async fn run_all(&self, until: Instant) -> Result<Ran, api::Error> {
        sqlx::query!(
            "DELETE FROM patients.export
             WHERE created_at < now() - interval '7 days' AND state <> 'RUNNING'",
        )
        .execute(&self.database)
        .await?;
        let mut ran = Ran::default();
        while Instant::now() < until {
            let Some(job) = self.lease().await? else {
                return Ok(ran);
            };
            if !self.work(job, until).await? {
                break;
            }
            ran.ended += 1;
        }
        ran.unfinished = true;
        Ok(ran)
    }

    /// Takes the oldest export that nobody works on.
    async fn lease(&self) -> Result<Option<Job>, api::Error> {
        let lease = Uuid::now_v7();
        let row = sqlx::query!(
            "UPDATE patients.export
             SET leased_by = $1, leased_until = clock_timestamp() + interval '60 seconds'
             WHERE id = (SELECT id FROM patients.export
                         WHERE state = 'RUNNING' AND leased_until < clock_timestamp()
                         ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING id, format, restricted, last_id, parts, actor_id, actor_role",
            lease,
        )
        .fetch_optional(&self.database)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Job {
            id: row.id,
            lease,
            format: stored(&row.format)?,
            restricted: row.restricted,
            last: row.last_id,
            parts: row.parts.map(serde_json::from_value).transpose()?,
            actor: row.actor_id,
            role: row.actor_role.parse()?,
        }))
    }

    /// Works on an export. Returns whether it has ended, or is somebody else's now.
    async fn work(&self, mut job: Job, until: Instant) -> Result<bool, api::Error> {
        if !self.may_still(&job).await? {
            let refusal = "Whoever has asked for the export may not export patients any more";
            sqlx::query!(
                "UPDATE patients.export SET state = 'REFUSED', refusal = $3, finished_at = now()
                 WHERE id = $1 AND leased_by = $2",
                job.id,
                job.lease,
                refusal,
            )
            .execute(&self.database)
            .await?;
            return Ok(true);
        }
        match self.write_file(&mut job, until).await {
            Err(error) if is_given_up(error.as_ref()) => {
                tracing::warn!(export = %job.id, "begun anew: the bucket has given up the file");
                job.begin_anew(&self.database).await?;
                Ok(false)
            }
            outcome => outcome,
        }
    }

    /// Writes the file, from the part on that is next.
    async fn write_file(&self, job: &mut Job, until: Instant) -> Result<bool, api::Error> {
        let (key, mut text) = (key(job.id), Vec::new());
        let mut parts = if let Some(parts) = job.parts.take() {
            parts
        } else {
            if job.format == FileFormat::Csv {
                text = table::header()?;
            }
            Parts::begin(&self.files, &key, job.format.content_type()).await?
        };
        let mut written: Vec<Uuid> = Vec::new();
        while !parts.is_whole() {
            let page = self.page(job, written.last().copied()).await?;
            for patient in &page {
                match job.format {
                    FileFormat::Csv => text.extend(table::of(patient)?),
                    FileFormat::Ndjson => {
                        serde_json::to_writer(&mut text, patient)?;
                        text.push(b'\n');
                    }
                }
                written.push(patient.id);
            }
            let part = std::mem::take(&mut text);
            if page.is_empty() {
                parts.end(&self.files, &key, part).await?;
            } else if part.len() < SAVED_AT {
                text = part;
                continue;
            } else {
                parts.write(&self.files, &key, part).await?;
            }
            // On record before anybody can download it.
            if !self.save(job, &written, &parts).await? {
                return Ok(true);
            }
            written.clear();
            if Instant::now() >= until {
                job.release(&self.database).await?;
                return Ok(false);
            }
        }
        parts.finish(&self.files, &key).await?;
        sqlx::query!(
            "UPDATE patients.export SET state = 'COMPLETED', finished_at = now()
             WHERE id = $1 AND leased_by = $2",
            job.id,
            job.lease,
        )
        .execute(&self.database)
        .await?;
        Ok(true)
    }

    /// Whether whoever has asked for the export may still have it.
    async fn may_still(&self, job: &Job) -> Result<bool, api::Error> {
        let role: Option<String> = sqlx::query_scalar("SELECT auth.role_now($1)")
            .bind(job.actor)
            .fetch_one(&self.database)
            .await?;
        let role = role.and_then(|role| role.parse::<Role>().ok());
        Ok(role.is_some_and(|role| {
            role.may(Permission::ExportPatients)
                && (!job.restricted || role.may(Permission::SeeRestrictedPatients))
        }))
    }

    async fn page(&self, job: &Job, after: Option<Uuid>) -> Result<Vec<Patient>, sqlx::Error> {
        let ids = sqlx::query_scalar!(
            "SELECT id FROM patients.patient
             WHERE id > $1 AND deleted_at IS NULL AND merged_into IS NULL AND (NOT restricted OR $2)
             ORDER BY id LIMIT $3",
            after.unwrap_or(job.last),
            job.restricted,
            PAGE,
        )
        .fetch_all(&self.database)
        .await?;
        storage::find_all(&ids, &self.database).await
    }

    /// Keeps what is in the file, and whose data it is. Returns whether the export is still ours. If a
    /// run ends before this, the next one writes the part again, and records its patients again.
    async fn save(
        &self,
        job: &mut Job,
        written: &[Uuid],
        parts: &Parts,
    ) -> Result<bool, api::Error> {
        let mut transaction = Transaction::begin(&self.database).await?;
        let last = written.last().copied().unwrap_or(job.last);
        let saved = sqlx::query!(
            "UPDATE patients.export
             SET last_id = $3, exported = exported + $4, parts = $5,
                 leased_until = clock_timestamp() + interval '60 seconds'
             WHERE id = $1 AND leased_by = $2 AND last_id = $6 AND state = 'RUNNING'",
            job.id,
            job.lease,
            last,
            i32::try_from(written.len())?,
            serde_json::to_value(parts)?,
            job.last,
        )
        .execute(&mut transaction)
        .await?;
        job.last = last;
        if saved.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(false);
        }
        for ids in written.chunks(ON_RECORD) {
            let record = Record {
                id: Uuid::now_v7(),
                actor: Some((job.actor, job.role)),
                action: Action::ExportPatients,
                outcome: Outcome::Succeeded,
                problem: None,
                subject: Subject::ResourceOfPatients(on_record(job.id), ids),
                reason: None,
                source: None,
                request_id: None,
            };
            record.append(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

/// Whether the bucket has no parts of the file any more.
fn is_given_up(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(FileError::NoSuchUpload))
}

impl Job {
    /// Lets the next run go on.
    async fn release(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.export SET leased_until = '-infinity'
             WHERE id = $1 AND leased_by = $2",
            self.id,
            self.lease,
        )
        .execute(database)
        .await?;
        Ok(())
    }

    /// Lets the next run begin with the first patient.
    async fn begin_anew(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.export
             SET parts = NULL, last_id = '00000000-0000-0000-0000-000000000000', exported = 0,
                 leased_until = '-infinity'
             WHERE id = $1 AND leased_by = $2",
            self.id,
            self.lease,
        )
        .execute(database)
        .await?;
        Ok(())
    }
}

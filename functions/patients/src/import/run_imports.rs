//! When a file was uploaded, on a schedule, and when the previous run had no time for the rest:
//! works through the imports.

use futures::future::BoxFuture;
use std::{collections::BTreeMap, time::Instant};

use api::ClinicTimeZone;
use chrono::Utc;
use identity::{Permission, Role};
use sql_state::Meaning;
use sqlx::{PgPool, error::DatabaseError};
use uuid::Uuid;

use super::{
    FileFormat,
    batch::{self, Batch, Job},
    date_format::DateFormat,
    layout::{Field, Layout, Look},
    line::Reading,
    outcomes,
    records::{LONGEST, cut},
    upload_key,
};
use crate::{
    email_rule::EmailRule,
    files::{Ahead, Files},
    stored::stored,
};

/// How many lines become patients in one transaction.
const LINES: usize = 1_000;

/// How often a batch is tried that another transaction has come before.
const ATTEMPTS: usize = 4;

/// What imports are done with.
#[derive(Debug)]
pub struct Importer {
    /// The service's database.
    pub database: PgPool,
    /// Where the files are.
    pub files: Files,
    /// Which day it is at the clinic.
    pub clinic: ClinicTimeZone,
    /// Whether patients may share a mailbox.
    pub rule: EmailRule,
}

/// Until when lines were taken.
enum Until {
    /// The end of the file.
    End,
    /// The end of the run.
    Later,
    /// Another run works on the import now.
    Lost,
    /// A record is not as the look at the whole file has found it.
    Unread,
}

/// What a run has done.
#[derive(Debug, Default, serde::Serialize)]
pub struct Ran {
    /// How many imports have ended.
    pub ended: usize,
    /// Whether there is more to do.
    pub unfinished: bool,
}

impl Importer {
    /// Works through the imports until there is nothing left to do, or the time is up.
    ///
    /// # Errors
    /// If the database or the bucket fails. What has been done is done, and the next run goes on.
    //
    // The future of a call to AWS is so deeply nested that programs would not compile with it.
    pub fn run(&self, until: Instant) -> BoxFuture<'_, Result<Ran, api::Error>> {
        Box::pin(self.run_all(until))
    }

    async fn run_all(&self, until: Instant) -> Result<Ran, api::Error> {
        self.expire().await?;
        self.find_uploads().await?;
        let mut ran = Ran::default();
        while Instant::now() < until {
            let Some(mut job) = Job::lease(&self.database).await? else {
                return Ok(ran);
            };
            match self.work(&mut job, until).await {
                Ok(true) => ran.ended += 1,
                Ok(false) => {
                    ran.unfinished = true;
                    return Ok(ran);
                }
                Err(error) => {
                    // If this fails too, the lease expires by itself.
                    let _ = job.give_back(&self.database).await;
                    return Err(error);
                }
            }
        }
        ran.unfinished = true;
        Ok(ran)
    }

    /// Ends imports without a file, and forgets those of long ago.
    async fn expire(&self) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.import SET state = 'EXPIRED', finished_at = now()
             WHERE state = 'AWAITING_UPLOAD' AND created_at < now() - interval '1 day'",
        )
        .execute(&self.database)
        .await?;
        sqlx::query!(
            "DELETE FROM patients.import_line
             WHERE (import_id, line) IN (
                 SELECT import_id, line FROM patients.import JOIN patients.import_line ON import_id = id
                 WHERE finished_at < now() - interval '7 days'
                 LIMIT 10000)",
        )
        .execute(&self.database)
        .await?;
        sqlx::query!(
            "DELETE FROM patients.import WHERE created_at < now() - interval '30 days'
                 AND state NOT IN ('AWAITING_UPLOAD', 'RUNNING')
                 AND NOT EXISTS (SELECT FROM patients.import_line WHERE import_id = id)",
        )
        .execute(&self.database)
        .await?;
        Ok(())
    }

    /// Begins the imports whose file is there. The bucket tells when one is uploaded, but it is the
    /// file itself that counts: a message may be late, or lost.
    async fn find_uploads(&self) -> Result<(), api::Error> {
        let waiting = sqlx::query_scalar!(
            "SELECT id FROM patients.import WHERE state = 'AWAITING_UPLOAD'
             ORDER BY created_at DESC LIMIT 100",
        )
        .fetch_all(&self.database)
        .await?;
        for id in waiting {
            if self.files.length(&upload_key(id)).await?.is_some() {
                sqlx::query!(
                    "UPDATE patients.import SET state = 'RUNNING', started_at = now()
                     WHERE id = $1 AND state = 'AWAITING_UPLOAD'",
                    id,
                )
                .execute(&self.database)
                .await?;
            }
        }
        Ok(())
    }

    /// Works on an import. Returns whether it has ended, or is somebody else's now.
    async fn work(&self, job: &mut Job, until: Instant) -> Result<bool, api::Error> {
        if !self.may_still(job).await? {
            let refusal = "Whoever has asked for the import may not import patients any more";
            return self.refuse(job, refusal).await;
        }
        if self.files.length(&upload_key(job.id)).await? != Some(job.length) {
            let refusal = "The file is not there any more, or has another length than announced";
            return self.refuse(job, refusal).await;
        }
        let layout = match job.layout.take() {
            Some(layout) => layout,
            None => match self.look(job).await? {
                Ok(layout) => layout,
                Err(refusal) => return self.refuse(job, &refusal).await,
            },
        };
        match self.take_lines(job, &layout, until).await? {
            Until::End => {}
            Until::Later => {
                job.release(&self.database).await?;
                return Ok(false);
            }
            Until::Lost => return Ok(true),
            Until::Unread => {
                let refusal = format!("The record on line {} cannot be read", job.next_line);
                return self.refuse(job, &refusal).await;
            }
        }
        outcomes::write(&self.database, &self.files, job).await?;
        sqlx::query!(
            "UPDATE patients.import SET state = 'COMPLETED', finished_at = now()
             WHERE id = $1 AND leased_by = $2",
            job.id,
            job.lease,
        )
        .execute(&self.database)
        .await?;
        self.discard_upload(job).await;
        Ok(true)
    }

    /// Nobody needs what it was made of any more. If this fails, the bucket deletes it in time.
    async fn discard_upload(&self, job: &Job) {
        if let Err(error) = self.files.delete(&upload_key(job.id)).await {
            tracing::warn!(import = %job.id, cause = %error, "an imported file was not deleted");
        }
    }

    /// Whether whoever has asked for the import may still do so.
    async fn may_still(&self, job: &Job) -> Result<bool, api::Error> {
        let role: Option<String> = sqlx::query_scalar("SELECT auth.role_now($1)")
            .bind(job.actor)
            .fetch_one(&self.database)
            .await?;
        let role = role.and_then(|role| role.parse::<Role>().ok());
        Ok(role.is_some_and(|role| role.may(Permission::ImportPatients)))
    }

    async fn refuse(&self, job: &Job, refusal: &str) -> Result<bool, api::Error> {
        sqlx::query!(
            "UPDATE patients.import SET state = 'REFUSED', refusal = $3, finished_at = now()
             WHERE id = $1 AND leased_by = $2",
            job.id,
            job.lease,
            refusal,
        )
        .execute(&self.database)
        .await?;
        self.discard_upload(job).await;
        Ok(true)
    }

    /// Looks at the whole file, and keeps how it is laid out.
    async fn look(&self, job: &mut Job) -> Result<Result<Layout, String>, api::Error> {
        let key = upload_key(job.id);
        let length = job.length;
        let titles: BTreeMap<Field, String> = serde_json::from_value(job.columns.take())?;
        let mut look = Look::new(job.format, titles);
        let mut file = Ahead::begin(&self.files, key, 0, length);
        let mut at = 0;
        while let Some(part) = file.part().await? {
            at += part.len() as u64;
            if let Err(refusal) = look.at(&part, at >= length) {
                return Ok(Err(refusal.to_string()));
            }
            job.renew(&self.database).await?;
        }
        let (layout, lines) = match look.end() {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal.to_string())),
        };
        job.begin(&self.database, &layout, lines).await?;
        Ok(Ok(layout))
    }

    /// Takes line after line.
    async fn take_lines(
        &self,
        job: &mut Job,
        layout: &Layout,
        until: Instant,
    ) -> Result<Until, api::Error> {
        let key = upload_key(job.id);
        let mut file = Ahead::begin(&self.files, key, job.next_byte, job.length);
        let mut part = Vec::new();
        while job.next_byte < job.length {
            if Instant::now() >= until {
                return Ok(Until::Later);
            }
            if part.len() < LINES * 1_024
                && let Some(next) = file.part().await?
            {
                part.extend_from_slice(&next);
            }
            let is_last = job.next_byte + part.len() as u64 >= job.length;
            let found = cut(&part, is_last, job.next_line, layout.separation(), LINES);
            if found.bytes == 0 && (is_last || part.len() > 2 * LONGEST) {
                return Ok(Until::Unread);
            }
            if found.bytes == 0 {
                continue;
            }
            let now = Utc::now();
            let reading = Reading {
                layout,
                dates: job.dates,
                now,
                clinic: self.clinic,
                rule: self.rule,
            };
            let lines = found.records.iter();
            let mut batch = Batch {
                lines: lines
                    .map(|record| (record.line, reading.patient(record)))
                    .collect(),
                next_byte: job.next_byte + found.bytes as u64,
                next_line: found.next_line,
                today: self.clinic.day(now),
                rule: self.rule,
            };
            if !self.write(job, &mut batch).await? {
                return Ok(Until::Lost);
            }
            part.drain(..found.bytes);
        }
        Ok(Until::End)
    }

    /// Writes a batch. Somebody may register a patient with the same number at the same moment: then
    /// everything is looked at once more. Returns whether the import is still ours.
    async fn write(&self, job: &mut Job, batch: &mut Batch) -> Result<bool, api::Error> {
        let mut attempt = 1;
        loop {
            match batch::write(&self.database, job, batch).await {
                Ok(ours) => return Ok(ours),
                Err(error) if attempt == ATTEMPTS => return Err(error.into()),
                Err(error) if is_race(&error) => {}
                Err(error) if sql_state::meaning(&error) == Meaning::Fault => {
                    batch::refuse_faulty(&self.database, job, batch).await?;
                }
                Err(error) => return Err(error.into()),
            }
            attempt += 1;
        }
    }
}

/// Whether it may succeed when it is tried again: somebody else took a unique value, or the
/// transaction gave way.
fn is_race(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error();
    refusal.is_some_and(DatabaseError::is_unique_violation)
        || sql_state::meaning(error) == Meaning::GaveWay
}

/// The job as a row says it.
impl Job {
    /// Takes the oldest import that nobody works on, and those that have failed after the others.
    async fn lease(database: &PgPool) -> Result<Option<Self>, api::Error> {
        let lease = Uuid::now_v7();
        let row = sqlx::query!(
            "UPDATE patients.import
             SET leased_by = $1, leased_until = clock_timestamp() + interval '60 seconds'
             WHERE id = (SELECT id FROM patients.import
                         WHERE state = 'RUNNING' AND leased_until < clock_timestamp()
                         ORDER BY leased_until, created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING id, format, date_format, columns, welcome, content_length, layout,
                       next_byte, next_line, actor_id, actor_role",
            lease,
        )
        .fetch_optional(database)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Self {
            id: row.id,
            lease,
            format: stored::<FileFormat>(&row.format)?,
            dates: stored::<DateFormat>(&row.date_format)?,
            columns: row.columns,
            welcome: row.welcome,
            length: u64::try_from(row.content_length)?,
            layout: row.layout.map(serde_json::from_value).transpose()?,
            next_byte: u64::try_from(row.next_byte)?,
            next_line: u64::try_from(row.next_line)?,
            actor: row.actor_id,
            role: row.actor_role.parse()?,
        }))
    }

    pub(super) async fn renew(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.import SET leased_until = clock_timestamp() + interval '60 seconds'
             WHERE id = $1 AND leased_by = $2",
            self.id,
            self.lease,
        )
        .execute(database)
        .await?;
        Ok(())
    }

    async fn release(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.import SET leased_until = '-infinity' WHERE id = $1 AND leased_by = $2",
            self.id,
            self.lease,
        )
        .execute(database)
        .await?;
        Ok(())
    }

    /// Lets the next run try again what has failed in this one, after what others are waiting for.
    async fn give_back(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE patients.import SET leased_until = clock_timestamp() WHERE id = $1 AND leased_by = $2",
            self.id,
            self.lease,
        )
        .execute(database)
        .await?;
        Ok(())
    }

    async fn begin(
        &mut self,
        database: &PgPool,
        layout: &Layout,
        lines: u64,
    ) -> Result<(), api::Error> {
        (self.next_byte, self.next_line) = (layout.first_byte, layout.first_line);
        sqlx::query!(
            "UPDATE patients.import
             SET layout = $3, total = $4, next_byte = $5, next_line = $6,
                 leased_until = clock_timestamp() + interval '60 seconds'
             WHERE id = $1 AND leased_by = $2 AND layout IS NULL",
            self.id,
            self.lease,
            serde_json::to_value(layout)?,
            i32::try_from(lines)?,
            i64::try_from(self.next_byte)?,
            i64::try_from(self.next_line)?,
        )
        .execute(database)
        .await?;
        Ok(())
    }
}

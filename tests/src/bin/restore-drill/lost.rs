//! What was done after T, read from the old database before it goes: what has left the house cannot
//! be undone, and has to be known to the restored database before anybody works with it.

use std::fmt;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use crate::{
    trail::Ends,
    work::{Issued, Staff},
};

/// What was done after T.
pub(crate) struct Lost {
    pub(crate) records: Vec<Record>,
    pub(crate) messages: Vec<Message>,
    /// In the order of their numbers.
    pub(crate) invoices: Vec<Issued>,
    pub(crate) erased: Vec<Uuid>,
    /// The last number of a patient's record that was given out.
    pub(crate) record_number: i64,
}

/// A record of the audit trail.
#[derive(Debug, FromRow)]
pub(crate) struct Record {
    pub(crate) id: Uuid,
    action: String,
    patient_ids: Vec<Uuid>,
}

/// A message that was sent.
#[derive(Debug, FromRow)]
pub(crate) struct Message {
    id: Uuid,
    state: String,
    pub(crate) recipient: Option<String>,
    pub(crate) subject: Option<String>,
    provider_id: Option<String>,
    sent_at: DateTime<Utc>,
    /// It was waiting at T.
    pub(crate) waited: bool,
}

impl Lost {
    /// Reads the old database.
    pub(crate) async fn list(
        database: &PgPool,
        at_t: &Ends,
        moment: DateTime<Utc>,
    ) -> Result<Self> {
        let (chains, sequences): (Vec<i16>, Vec<i64>) = at_t.sequences().into_iter().unzip();
        let records: Vec<Record> = sqlx::query_as(
            "SELECT id, action, patient_ids
             FROM audit.record
             LEFT JOIN unnest($1::smallint[], $2::bigint[]) AS at_t (chain, sequence) USING (chain)
             WHERE record.sequence > coalesce(at_t.sequence, 0)",
        )
        .bind(chains)
        .bind(sequences)
        .fetch_all(database)
        .await?;
        let messages = sqlx::query_as(
            "SELECT id, state, recipient, subject, provider_id, sent_at, created_at <= $1 AS waited
             FROM notifications.message WHERE sent_at > $1",
        );
        let invoices: Vec<(String, Uuid, i64)> = sqlx::query_as(
            "SELECT number, patient_id, total
             FROM billing.invoice JOIN billing.account ON account.id = account_id
             WHERE issued_at > $1 ORDER BY series, sequence",
        )
        .bind(moment)
        .fetch_all(database)
        .await?;
        let erased = records.iter().filter(|lost| lost.action == "ERASE_PATIENT");
        let invoices = invoices.into_iter();
        Ok(Self {
            erased: erased.flat_map(|lost| lost.patient_ids.clone()).collect(),
            messages: messages.bind(moment).fetch_all(database).await?,
            invoices: invoices
                .map(|(number, patient, cents)| Issued {
                    number,
                    patient,
                    cents,
                })
                .collect(),
            record_number: sqlx::query_scalar("SELECT last_value FROM patients.record_number")
                .fetch_one(database)
                .await?,
            records,
        })
    }

    /// Tells the restored database what was sent and given out, before anything is sent or given out.
    pub(crate) async fn carry_over(&self, database: &PgPool) -> Result<()> {
        for message in &self.messages {
            sqlx::query(
                "UPDATE notifications.message
                 SET state = $2, recipient = $3, subject = $4, provider_id = $5, sent_at = $6
                 WHERE id = $1 AND state = 'PENDING'",
            )
            .bind(message.id)
            .bind(&message.state)
            .bind(&message.recipient)
            .bind(&message.subject)
            .bind(&message.provider_id)
            .bind(message.sent_at)
            .execute(database)
            .await?;
        }
        sqlx::query("SELECT setval('patients.record_number', $1)")
            .bind(self.record_number)
            .execute(database)
            .await?;
        Ok(())
    }

    /// Does again what must not stay undone: erasures, and invoices, in the order of their numbers.
    pub(crate) async fn repeat(&self, staff: &mut Staff<'_>) -> Result<Vec<Issued>> {
        for patient in &self.erased {
            staff.erase(*patient).await?;
        }
        let mut again = Vec::new();
        for invoice in &self.invoices {
            again.push(staff.issue(invoice.patient).await?);
        }
        Ok(again)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records of the trail, {} messages, {} invoices, {} erasures",
            self.records.len(),
            self.messages.len(),
            self.invoices.len(),
            self.erased.len(),
        )
    }
}

/// Lets a reminder wait at T that is sent after it, as if its time had come then.
pub(crate) async fn make_a_reminder_due(database: &PgPool) -> Result<()> {
    let due = sqlx::query(
        "UPDATE notifications.message SET due_at = now(), next_attempt_at = now()
         WHERE id = (SELECT id FROM notifications.message
                     WHERE kind = 'APPOINTMENT_REMINDER' AND state = 'PENDING'
                     ORDER BY created_at LIMIT 1)",
    );
    let due = due.execute(database).await?.rows_affected();
    (due == 1).then_some(()).context("no reminder waits")
}

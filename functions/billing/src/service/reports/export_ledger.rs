//! `ExportLedger`: every posting of a period, in the order in which they were booked.
//!
//! All of it is read in one view of the ledger, some entries at a time, however long it is. Whoever
//! takes no message for longer than the database lets a transaction stand still has to begin again.
//!
//! Who has booked first may commit last. So an export ends with the last entry that is there when it is
//! asked for, and waits for those who are booking then: no entry before its last one comes later, and
//! whoever goes on behind that one gets every entry once.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::{
    EntryKind as WireKind, ExportLedgerRequest, ExportLedgerResponse, LedgerAccountKind,
    LedgerPosting,
};
use futures::stream::{self, BoxStream, StreamExt as _};
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use super::period::{self, Period};
use crate::service::{
    database::failed,
    input,
    ledger::{AccountKind, EntryKind},
    refused::invalid,
    wire,
    work::{Books, Question},
};

/// How many entries are read at a time. Each has at most 400 postings, and most have three.
const ENTRIES: i64 = 100;

/// How long an export waits for those who are booking, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(10);

impl Question for ExportLedgerRequest {
    type Answer = BoxStream<'static, Result<ExportLedgerResponse, Status>>;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let asked = (&*self.from_date, &*self.to_date, "");
        let (period, _) = period::of(asked, None, &books.clinic)?;
        let after = input::optional_id(&self.after_entry_id);
        let after = after.map_err(|_| unknown_place())?;
        let last = last_that_is_complete(books).await?;
        let mut view = books.snapshot().await?;
        let after = match after {
            None => None,
            Some(entry) => Some(place_of(&mut view, entry).await?),
        };
        let export = Export {
            view,
            period,
            include_restricted: self.include_restricted,
            after,
            last,
        };
        Ok(stream::try_unfold(export, Export::next).boxed())
    }
}

/// The number of the last entry that is there now, once nobody is booking with a lower one.
///
/// # Errors
/// `UNAVAILABLE`, if somebody takes too long.
async fn last_that_is_complete(books: &Books) -> Result<i64, Status> {
    let begun = Instant::now();
    let last =
        sqlx::query_scalar!(r#"SELECT coalesce(max(number), 0) AS "last!" FROM billing.entry"#)
            .fetch_one(&books.database)
            .await
            .map_err(|error| failed(&error))?;
    let mut booking = who_books(books, None).await?;
    while !booking.is_empty() {
        if begun.elapsed() > PATIENCE {
            return Err(Status::unavailable(
                "something is being booked for too long",
            ));
        }
        tokio::time::sleep(LOOK).await;
        booking = who_books(books, Some(&booking)).await?;
    }
    Ok(last)
}

/// The transactions that have booked something and still run; of these alone, if there are any. Whoever
/// has the number of an entry has this lock, and keeps it until everybody sees the entry.
async fn who_books(books: &Books, of: Option<&[String]>) -> Result<Vec<String>, Status> {
    sqlx::query_scalar!(
        r#"SELECT virtualtransaction AS "transaction!" FROM pg_locks
           WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
               AND relation = 'billing.entry'::regclass
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND ($1::text[] IS NULL OR virtualtransaction = ANY($1))"#,
        of,
    )
    .fetch_all(&books.database)
    .await
    .map_err(|error| failed(&error))
}

/// The place of an entry in the order of the export.
async fn place_of(view: &mut Transaction, entry: Uuid) -> Result<i64, Status> {
    sqlx::query_scalar!("SELECT number FROM billing.entry WHERE id = $1", entry)
        .fetch_optional(view)
        .await
        .map_err(|error| failed(&error))?
        .ok_or_else(unknown_place)
}

fn unknown_place() -> Status {
    invalid("cursor", "Must be one that an earlier part has given")
}

struct Export {
    view: Transaction,
    period: Period,
    include_restricted: bool,
    /// The entry that was sent last.
    after: Option<i64>,
    /// The entry that it ends with.
    last: i64,
}

struct Row {
    entry_id: Uuid,
    number: i64,
    kind: EntryKind,
    business_date: NaiveDate,
    recorded_at: DateTime<Utc>,
    account_kind: AccountKind,
    currency: String,
    amount: i64,
    patient_id: Uuid,
    invoice_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    document_number: Option<String>,
    actor: Option<Uuid>,
    reverses: Option<Uuid>,
}

impl Export {
    async fn next(mut self) -> Result<Option<(ExportLedgerResponse, Self)>, Status> {
        let rows = self.read().await.map_err(|error| failed(&error))?;
        let Some(last) = rows.last() else {
            // If the database fails to, it ends the transaction when the connection is used again.
            let _ = self.view.rollback().await;
            return Ok(None);
        };
        self.after = Some(last.number);
        let postings = rows.into_iter().map(Into::into).collect();
        Ok(Some((ExportLedgerResponse { postings }, self)))
    }

    async fn read(&mut self) -> Result<Vec<Row>, sqlx::Error> {
        sqlx::query_as!(
            Row,
            r#"WITH next AS (
                   SELECT entry.*, account.patient_id
                   FROM billing.entry
                   JOIN billing.account ON account.id = entry.account_id
                   WHERE entry.business_date BETWEEN $1 AND $2
                       AND ($3 OR NOT (
                           patients.is_restricted(account.patient_id)
                           OR EXISTS (
                               SELECT FROM billing.posting
                               JOIN billing.ledger_account AS booked ON booked.id = posting.ledger_account_id
                               JOIN billing.account AS other ON other.id = booked.account_id
                               WHERE posting.entry_id = entry.id AND other.id <> account.id
                                   AND patients.is_restricted(other.patient_id))))
                       AND entry.number > $4 AND entry.number <= $5
                   ORDER BY entry.number
                   LIMIT $6
               )
               SELECT next.id AS "entry_id!", next.number AS "number!", next.kind AS "kind!: EntryKind",
                      next.business_date AS "business_date!", next.recorded_at AS "recorded_at!",
                      account.kind AS "account_kind!: AccountKind", posting.currency AS "currency!",
                      posting.amount AS "amount!",
                      coalesce(theirs.patient_id, next.patient_id) AS "patient_id!",
                      next.invoice_id, next.payment_id,
                      coalesce(credit_note.number, invoice.number) AS document_number,
                      next.actor, next.reverses
               FROM next
               JOIN billing.posting ON posting.entry_id = next.id
               JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
               LEFT JOIN billing.account AS theirs ON theirs.id = account.account_id
               LEFT JOIN billing.invoice ON invoice.id = next.invoice_id
               LEFT JOIN billing.credit_note ON credit_note.id = next.credit_note_id
               ORDER BY next.number, posting.line"#,
            self.period.from,
            self.period.to,
            self.include_restricted,
            self.after.unwrap_or(0),
            self.last,
            ENTRIES,
        )
        .fetch_all(&mut self.view)
        .await
    }
}

impl From<Row> for LedgerPosting {
    fn from(row: Row) -> Self {
        Self {
            entry_id: row.entry_id.to_string(),
            entry_kind: WireKind::from(row.kind).into(),
            business_date: wire::day(Some(row.business_date)),
            record_time: Some(wire::time(row.recorded_at)),
            account: LedgerAccountKind::from(row.account_kind).into(),
            amount: Some(wire::money(&row.currency, row.amount)),
            patient_id: row.patient_id.to_string(),
            invoice_id: wire::id(row.invoice_id),
            payment_id: wire::id(row.payment_id),
            document_number: row.document_number.unwrap_or_default(),
            actor_id: wire::id(row.actor),
            reverses_entry_id: wire::id(row.reverses),
        }
    }
}

impl From<EntryKind> for WireKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::InvoiceIssued => Self::InvoiceIssued,
            EntryKind::InvoiceVoided => Self::InvoiceVoided,
            EntryKind::CreditNoteIssued => Self::CreditNoteIssued,
            EntryKind::InvoiceWrittenOff => Self::InvoiceWrittenOff,
            EntryKind::PaymentRecorded => Self::PaymentRecorded,
            EntryKind::PaymentReversed => Self::PaymentReversed,
            EntryKind::CreditAllocated => Self::CreditAllocated,
            EntryKind::AllocationReleased => Self::AllocationReleased,
            EntryKind::RefundCompleted => Self::RefundCompleted,
        }
    }
}

impl From<AccountKind> for LedgerAccountKind {
    fn from(kind: AccountKind) -> Self {
        match kind {
            AccountKind::Receivable => Self::Receivable,
            AccountKind::Credit => Self::Credit,
            AccountKind::Revenue => Self::Revenue,
            AccountKind::Tax => Self::Tax,
            AccountKind::Cash => Self::Cash,
            AccountKind::Card => Self::Card,
            AccountKind::Transfer => Self::Transfer,
            AccountKind::BadDebt => Self::BadDebt,
        }
    }
}

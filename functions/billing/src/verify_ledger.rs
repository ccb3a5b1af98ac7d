//! `verify-ledger`, every day and whenever somebody wants to know: recomputes what has to be true of
//! the books, whoever has written them, and says where it is not.
//!
//! The database refuses what would break the books. Who may write to it as its owner can take that
//! away. So this looks at the rules themselves, adds up every entry and every balance, and compares
//! the ledger with the documents: whoever alters an amount has to alter all of them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgPool, error::DatabaseError};
use store::Transaction;
use telemetry::{Metrics, Unit};

/// How many faults of a kind are named.
const MAX_FAULTS: i64 = 20;

/// The newest migration that this function knows.
const NEWEST_MIGRATION: i64 = include!(concat!(env!("OUT_DIR"), "/newest_migration.rs"));

/// The SQLSTATE of a call of a function that does not exist.
const UNDEFINED_FUNCTION: &str = "42883";

/// Why nothing is said about the books.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The function is deployed, and `provision` has not been called yet: what the schema has to refuse is
    /// not all there.
    #[error(
        "the schema is older than this function, which needs migration {NEWEST_MIGRATION}: provision applies it"
    )]
    OlderSchema,
    /// The database does not answer.
    #[error("the books cannot be read")]
    Database(#[from] sqlx::Error),
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// How many entries there are.
    pub entries: i64,
    /// What is wrong, the first twenty of each kind.
    pub faults: Vec<Fault>,
    /// When this was so.
    pub verified_at: DateTime<Utc>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The rule that does not hold.
    pub rule: Rule,
    /// Of what: an id, a number or a name.
    pub subject: String,
}

/// What has to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::VariantArray)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rule {
    /// An entry sums to 0 in each currency, and has two postings at least.
    EntryBalanced,
    /// The database still refuses what it has to refuse.
    DatabaseRefuses,
    /// A patient's account has the balance that its postings come to, one after another.
    BalanceIsSum,
    /// An invoice is settled by what was booked about it, and says what its lines say.
    InvoiceAsBooked,
    /// A payment is used for what was booked about it.
    PaymentAsBooked,
    /// A credit note was booked as it says.
    CreditNoteAsBooked,
    /// The numbers of a series have no gap, and their dates do not fall.
    NumbersWithoutGap,
    /// A charge is on one invoice that stands, if it is invoiced, and on none otherwise.
    ChargeInvoicedOnce,
}

impl Rule {
    /// The statement that finds what breaks it, as texts.
    #[expect(clippy::too_many_lines, reason = "it is a table of statements")]
    const fn statement(self) -> &'static str {
        match self {
            Self::EntryBalanced => {
                "SELECT entry.id::text
                 FROM billing.entry
                 LEFT JOIN (
                     SELECT entry_id, sum(count) AS count, bool_and(sum = 0) AS balanced
                     FROM (SELECT entry_id, currency, sum(amount) AS sum, count(*) AS count
                           FROM billing.posting GROUP BY entry_id, currency) AS by_currency
                     GROUP BY entry_id
                 ) AS postings ON postings.entry_id = entry.id
                 WHERE coalesce(count, 0) < 2 OR NOT balanced"
            }
            Self::DatabaseRefuses => {
                "SELECT expected.relation || ' ' || expected.name
                 FROM (VALUES
                     ('price', 'price_is_final'), ('entry', 'entry_is_final'),
                     ('posting', 'posting_is_final'), ('entry', 'entry_balanced'),
                     ('posting', 'posting_with_its_entry'), ('invoice', 'invoice_is_kept'),
                     ('invoice_line', 'invoice_line_is_kept'), ('payment', 'payment_is_kept'),
                     ('credit_note', 'credit_note_is_final'),
                     ('credit_note', 'credit_note_is_not_emptied'),
                     ('credit_note_line', 'credit_note_line_is_final')
                 ) AS expected (relation, name)
                 WHERE NOT EXISTS (
                     SELECT FROM pg_trigger
                     WHERE tgrelid = ('billing.' || expected.relation)::regclass
                         AND tgname = expected.name AND tgenabled IN ('O', 'A'))
                 UNION ALL
                 SELECT expected.relation || ' ' || expected.name
                 FROM (VALUES
                     ('invoice', 'invoice_settled_once'), ('payment', 'payment_used_once'),
                     ('ledger_account', 'ledger_account_sign'),
                     ('refund', 'refund_by_two'), ('write_off', 'write_off_by_two'),
                     ('payment', 'payment_reference_unique')
                 ) AS expected (relation, name)
                 WHERE NOT EXISTS (
                     SELECT FROM pg_constraint
                     WHERE conrelid = ('billing.' || expected.relation)::regclass
                         AND conname = expected.name AND convalidated)"
            }
            Self::BalanceIsSum => {
                "SELECT DISTINCT account.id::text
                 FROM billing.ledger_account AS account
                 LEFT JOIN (
                     SELECT ledger_account_id, amount, sequence, balance_after,
                            sum(amount) OVER one_by_one AS sum,
                            row_number() OVER one_by_one AS place,
                            count(*) OVER (PARTITION BY ledger_account_id) AS count
                     FROM billing.posting
                     WINDOW one_by_one AS (PARTITION BY ledger_account_id ORDER BY sequence)
                 ) AS posting ON posting.ledger_account_id = account.id
                 WHERE account.account_id IS NOT NULL AND (
                     account.last_sequence <> coalesce(posting.count, 0)
                     OR posting.sequence IS DISTINCT FROM posting.place
                     OR posting.balance_after IS DISTINCT FROM posting.sum
                     OR (account.last_sequence = coalesce(posting.place, 0)
                         AND account.balance <> coalesce(posting.sum, 0)))"
            }
            Self::InvoiceAsBooked => {
                "WITH booked AS (
                     SELECT entry.invoice_id AS id,
                            coalesce(sum(amount) FILTER (WHERE entry.kind = 'INVOICE_ISSUED'), 0) AS issued,
                            coalesce(-sum(amount) FILTER (WHERE entry.kind = 'INVOICE_VOIDED'), 0) AS voided,
                            coalesce(-sum(amount) FILTER (WHERE entry.kind IN ('CREDIT_ALLOCATED', 'ALLOCATION_RELEASED')), 0) AS allocated,
                            coalesce(-sum(amount) FILTER (WHERE entry.kind = 'CREDIT_NOTE_ISSUED'), 0) AS credited,
                            coalesce(-sum(amount) FILTER (WHERE entry.kind = 'INVOICE_WRITTEN_OFF'), 0) AS written_off
                     FROM billing.entry
                     JOIN billing.posting ON posting.entry_id = entry.id
                     JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
                     WHERE account.kind = 'RECEIVABLE'
                     GROUP BY entry.invoice_id
                 ), lines AS (
                     SELECT invoice_id AS id, sum(net) AS net, sum(tax) AS tax, bool_and(live) AS live,
                            bool_or(live) AS some_live
                     FROM billing.invoice_line GROUP BY invoice_id
                 ), uses AS (
                     SELECT invoice_id AS id, sum(amount) AS amount FROM billing.allocation GROUP BY invoice_id
                 )
                 SELECT invoice.id::text
                 FROM billing.invoice
                 LEFT JOIN booked USING (id) LEFT JOIN lines USING (id) LEFT JOIN uses USING (id)
                 WHERE invoice.net <> coalesce(lines.net, 0) OR invoice.tax <> coalesce(lines.tax, 0)
                     OR coalesce(booked.issued, 0) <> CASE invoice.state WHEN 'DRAFT' THEN 0 ELSE invoice.total END
                     OR coalesce(booked.voided, 0) <> CASE invoice.state WHEN 'VOID' THEN invoice.total ELSE 0 END
                     OR invoice.allocated <> coalesce(booked.allocated, 0)
                     OR invoice.allocated <> coalesce(uses.amount, 0)
                     OR invoice.credited <> coalesce(booked.credited, 0)
                     OR invoice.written_off <> coalesce(booked.written_off, 0)
                     OR invoice.allocated + invoice.credited + invoice.written_off > invoice.total
                     OR (invoice.state = 'VOID' AND lines.some_live)
                     OR (invoice.state <> 'VOID' AND NOT lines.live)"
            }
            Self::PaymentAsBooked => {
                "WITH booked AS (
                     SELECT entry.payment_id AS id,
                            coalesce(-sum(amount) FILTER (WHERE entry.kind = 'PAYMENT_RECORDED'), 0) AS recorded,
                            coalesce(sum(amount) FILTER (WHERE entry.kind = 'PAYMENT_REVERSED'), 0) AS reversed,
                            coalesce(sum(amount) FILTER (WHERE entry.kind IN ('CREDIT_ALLOCATED', 'ALLOCATION_RELEASED')), 0) AS allocated,
                            coalesce(sum(amount) FILTER (WHERE entry.kind = 'REFUND_COMPLETED'), 0) AS refunded
                     FROM billing.entry
                     JOIN billing.posting ON posting.entry_id = entry.id
                     JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
                     WHERE account.kind = 'CREDIT'
                     GROUP BY entry.payment_id
                 ), refunds AS (
                     SELECT payment_id AS id, sum(amount) FILTER (WHERE state <> 'REJECTED') AS asked,
                            sum(amount) FILTER (WHERE state = 'COMPLETED') AS completed
                     FROM billing.refund GROUP BY payment_id
                 ), uses AS (
                     SELECT payment_id AS id, sum(amount) AS amount FROM billing.allocation GROUP BY payment_id
                 )
                 SELECT payment.id::text
                 FROM billing.payment
                 LEFT JOIN booked USING (id) LEFT JOIN refunds USING (id) LEFT JOIN uses USING (id)
                 WHERE payment.amount <> coalesce(booked.recorded, 0)
                     OR coalesce(booked.reversed, 0) <> CASE payment.state WHEN 'REVERSED' THEN payment.amount ELSE 0 END
                     OR payment.allocated <> coalesce(booked.allocated, 0)
                     OR payment.allocated <> coalesce(uses.amount, 0)
                     OR payment.refunded <> coalesce(refunds.asked, 0)
                     OR coalesce(booked.refunded, 0) <> coalesce(refunds.completed, 0)
                     OR payment.allocated + payment.refunded > payment.amount"
            }
            Self::CreditNoteAsBooked => {
                "SELECT credit_note.id::text
                 FROM billing.credit_note
                 LEFT JOIN (
                     SELECT entry.credit_note_id AS id,
                            sum(amount) FILTER (WHERE account.kind = 'REVENUE') AS net,
                            -sum(amount) FILTER (WHERE account.kind = 'RECEIVABLE') AS total
                     FROM billing.entry
                     JOIN billing.posting ON posting.entry_id = entry.id
                     JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
                     WHERE entry.credit_note_id IS NOT NULL
                     GROUP BY entry.credit_note_id
                 ) AS booked USING (id)
                 LEFT JOIN (
                     SELECT credit_note_id AS id, sum(net) AS net, sum(tax) AS tax
                     FROM billing.credit_note_line GROUP BY credit_note_id
                 ) AS lines USING (id)
                 WHERE credit_note.net <> coalesce(booked.net, 0)
                     OR credit_note.total <> coalesce(booked.total, 0)
                     OR credit_note.net <> coalesce(lines.net, 0)
                     OR credit_note.tax <> coalesce(lines.tax, 0)"
            }
            Self::NumbersWithoutGap => {
                "WITH document AS (
                     SELECT series, sequence, issue_date FROM billing.invoice WHERE series IS NOT NULL
                     UNION ALL
                     SELECT series, sequence, issue_date FROM billing.credit_note
                 ), placed AS (
                     SELECT series, sequence, issue_date,
                            row_number() OVER one_by_one AS place,
                            lag(issue_date) OVER one_by_one AS before
                     FROM document
                     WINDOW one_by_one AS (PARTITION BY series ORDER BY sequence)
                 )
                 SELECT series || '-' || sequence FROM placed
                 WHERE sequence <> place OR issue_date < before
                 UNION ALL
                 SELECT name FROM billing.number_series
                 WHERE last_number <> (SELECT count(*) FROM document WHERE series = name)"
            }
            Self::ChargeInvoicedOnce => {
                "SELECT charge.id::text
                 FROM billing.charge
                 LEFT JOIN (
                     SELECT charge_id, count(*) AS count, count(*) FILTER (WHERE state <> 'DRAFT') AS issued
                     FROM billing.invoice_line JOIN billing.invoice ON invoice.id = invoice_id
                     WHERE live GROUP BY charge_id
                 ) AS line ON line.charge_id = charge.id
                 WHERE coalesce(count, 0) > 1
                     OR (charge.state = 'INVOICED') <> (coalesce(issued, 0) = 1)
                     OR (charge.state IN ('UNPRICED', 'CANCELLED') AND coalesce(count, 0) > 0)"
            }
        }
    }
}

/// Verifies the books as they are at this moment.
///
/// # Errors
/// If the schema is older than this function, or the database does not answer. Then nothing is said about
/// the books.
pub async fn verify_ledger(database: &PgPool) -> Result<Verified, VerifyError> {
    let mut view = Transaction::begin(database).await?;
    // All of it is read, which takes longer than any request may.
    for setting in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL statement_timeout = '10min'",
    ] {
        sqlx::query(setting).execute(&mut view).await?;
    }
    must_be_up_to_date(&mut view).await?;
    let mut faults = Vec::new();
    for &rule in <Rule as strum::VariantArray>::VARIANTS {
        let statement = format!("SELECT * FROM ({}) AS fault LIMIT $1", rule.statement());
        // Not checked at compile time, as it is made of what the rules say, and of nothing else.
        let broken: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .bind(MAX_FAULTS)
            .fetch_all(&mut view)
            .await?;
        faults.extend(broken.into_iter().map(|subject| Fault { rule, subject }));
    }
    let entries = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM billing.entry"#)
        .fetch_one(&mut view)
        .await?;
    view.rollback().await?;
    Ok(Verified {
        intact: faults.is_empty(),
        entries,
        faults,
        verified_at: Utc::now(),
    })
}

/// A later schema is verified: deployments keep what the functions before them rely on.
async fn must_be_up_to_date(view: &mut Transaction) -> Result<(), VerifyError> {
    let version = sqlx::query_scalar!("SELECT billing.schema_version()");
    let version = match version.fetch_one(view).await {
        Err(error) if is_unknown_function(&error) => Some(0),
        version => version?,
    };
    if version.is_some_and(|version| version < NEWEST_MIGRATION) {
        return Err(VerifyError::OlderSchema);
    }
    Ok(())
}

fn is_unknown_function(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == UNDEFINED_FUNCTION)
}

/// Says in the log and in the metrics what was found: an alarm watches these.
pub fn report(found: &Verified) {
    if found.intact {
        tracing::info!(entries = found.entries, "the books are right");
    } else {
        let faults = serde_json::to_string(&found.faults).unwrap_or_default();
        tracing::error!(entries = found.entries, faults, "the books are not right");
    }
    Metrics::of_function("verify-ledger")
        .metric(
            "BrokenLedger",
            Unit::Count,
            if found.intact { 0.0 } else { 1.0 },
        )
        .property("message", "verification")
        .emit();
}

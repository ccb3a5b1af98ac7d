//! What became of the money, read from everywhere it is visible.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context as _, Result};
use chrono::{NaiveDate, Utc};
use contracts::{
    BILLING_EVENTS_TOPIC,
    billing::v1::{BillingEvent, Money, billing_event::Change},
};
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;
use sqlx::{FromRow, PgPool};
use system_tests::{Clinic, Topic};
use uuid::Uuid;

use super::{Act, Appointment, Failure, Till};
use crate::{clients::Load, observation::look_up};

/// All that is to be checked.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) acts: Vec<Act>,
    pub(crate) appointments: Vec<Appointment>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) patients: Vec<Uuid>,
    /// The entries of these patients.
    pub(crate) entries: Vec<Entry>,
    /// The entries that do not sum to 0, whoever they are about.
    pub(crate) unbalanced: Vec<Uuid>,
    /// The balances of everybody.
    pub(crate) balances: Vec<Balance>,
    /// Every invoice and credit note with a number, by series and number.
    pub(crate) documents: Vec<Document>,
    /// The last number of each series.
    pub(crate) series: BTreeMap<String, i64>,
    pub(crate) statements: HashMap<Uuid, Statement>,
    /// The charges of these patients.
    pub(crate) charges: Vec<Charge>,
    /// What the API lists as charges without a price.
    pub(crate) worklist: HashSet<Uuid>,
    pub(crate) recorded: HashMap<Recorded, i64>,
    /// The events about these patients, in their order on the topic.
    pub(crate) events: Vec<Event>,
    /// What `verify-ledger` found to be wrong, or why it did not say.
    pub(crate) faults: Option<String>,
}

/// An entry of the ledger.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Entry {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) patient: Uuid,
    pub(crate) invoice_id: Option<Uuid>,
    pub(crate) credit_note_id: Option<Uuid>,
    pub(crate) payment_id: Option<Uuid>,
    pub(crate) refund_id: Option<Uuid>,
    pub(crate) request_id: Option<Uuid>,
    /// How much more the patient owes by it.
    pub(crate) moved: i64,
}

impl Entry {
    /// The document that an entry of this kind is about.
    pub(crate) fn document(&self) -> Option<Uuid> {
        match self.kind.as_str() {
            "CREDIT_NOTE_ISSUED" => self.credit_note_id,
            "REFUND_COMPLETED" => self.refund_id,
            "PAYMENT_RECORDED" | "PAYMENT_REVERSED" => self.payment_id,
            "INVOICE_ISSUED" | "INVOICE_VOIDED" | "INVOICE_WRITTEN_OFF" => self.invoice_id,
            _ => None,
        }
    }
}

/// An account of a patient in the ledger, and what its postings come to.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Balance {
    pub(crate) patient: Uuid,
    pub(crate) balance: i64,
    pub(crate) last_sequence: i64,
    pub(crate) sum: i64,
    pub(crate) postings: i64,
}

/// An invoice or a credit note.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Document {
    pub(crate) id: Uuid,
    pub(crate) series: String,
    pub(crate) sequence: i64,
    pub(crate) number: String,
    pub(crate) issue_date: NaiveDate,
}

/// A patient's statement, in cents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) opening: i64,
    pub(crate) lines: Vec<StatementLine>,
    pub(crate) closing: i64,
}

/// What a line says, in cents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementLine {
    pub(crate) amount: i64,
    pub(crate) balance: i64,
}

/// A charge.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Charge {
    pub(crate) id: Uuid,
    pub(crate) patient: Uuid,
    pub(crate) state: String,
    pub(crate) code: String,
    pub(crate) quantity: i32,
    /// The appointment that it is for.
    pub(crate) appointment: Option<Uuid>,
}

/// What the audit trail says was done to what.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Recorded {
    pub(crate) action: String,
    pub(crate) resource: Uuid,
}

/// What an event says has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EventKind {
    InvoiceIssued,
    InvoiceVoided,
    InvoiceWrittenOff,
    CreditNoteIssued,
    PaymentRecorded,
    PaymentReversed,
    RefundCompleted,
}

/// An event of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) patient: Uuid,
    pub(crate) kind: EventKind,
    pub(crate) document: Uuid,
    /// The invoice or the payment that came before.
    pub(crate) follows: Option<Uuid>,
    pub(crate) amount: i64,
}

impl Books {
    /// Reads everything.
    ///
    /// # Errors
    /// If a part of the system cannot be read.
    pub(crate) async fn take(
        clinic: &Clinic,
        database: &PgPool,
        load: &Load,
        till: &Till,
        topic: &BTreeMap<i32, i64>,
    ) -> Result<Self> {
        let patients = &till.office().patients;
        let mut statements = HashMap::new();
        for patient in patients {
            statements.insert(*patient, statement(load, *patient).await?);
        }
        let mut topic = Topic::open_named(BILLING_EVENTS_TOPIC, topic).await;
        let records = topic.raw_records().await.iter();
        let events = records.filter_map(|raw| {
            let key = String::from_utf8(raw.record.key.clone()?).ok()?;
            event(key, raw.record.value.as_deref()?)
        });
        let events = events.filter(|event| patients.contains(&event.patient));
        Ok(Self {
            acts: till.acts(),
            appointments: till.appointments(),
            failures: till.failures(),
            entries: entries(database, patients).await?,
            unbalanced: unbalanced(database).await?,
            balances: balances(database).await?,
            documents: documents(database).await?,
            series: series(database).await?,
            statements,
            charges: charges(database, patients).await?,
            worklist: worklist(load).await?,
            recorded: recorded(database).await?,
            events: events.collect(),
            faults: faults(clinic).await,
            patients: patients.clone(),
        })
    }
}

async fn entries(database: &PgPool, patients: &[Uuid]) -> Result<Vec<Entry>> {
    let entries = sqlx::query_as(
        "SELECT entry.id, entry.kind, account.patient_id AS patient, invoice_id, credit_note_id,
                payment_id, refund_id, request_id,
                (SELECT coalesce(sum(amount), 0)::bigint FROM billing.posting
                 JOIN billing.ledger_account ON ledger_account.id = ledger_account_id
                 WHERE entry_id = entry.id AND ledger_account.account_id IS NOT NULL) AS moved
         FROM billing.entry JOIN billing.account ON account.id = entry.account_id
         WHERE account.patient_id = ANY($1) ORDER BY entry.number",
    );
    Ok(entries.bind(patients).fetch_all(database).await?)
}

async fn unbalanced(database: &PgPool) -> Result<Vec<Uuid>> {
    let entries = sqlx::query_scalar(
        "SELECT entry.id FROM billing.entry LEFT JOIN billing.posting ON entry_id = entry.id
         GROUP BY entry.id, currency HAVING sum(amount) <> 0 OR count(amount) < 2",
    );
    Ok(entries.fetch_all(database).await?)
}

async fn balances(database: &PgPool) -> Result<Vec<Balance>> {
    let balances = sqlx::query_as(
        "SELECT account.patient_id AS patient, balance, last_sequence,
                coalesce(sum(amount), 0)::bigint AS sum, count(amount) AS postings
         FROM billing.ledger_account AS ledger
         JOIN billing.account ON account.id = ledger.account_id
         LEFT JOIN billing.posting ON ledger_account_id = ledger.id
         GROUP BY ledger.id, account.patient_id",
    );
    Ok(balances.fetch_all(database).await?)
}

async fn documents(database: &PgPool) -> Result<Vec<Document>> {
    let documents = sqlx::query_as(
        "SELECT id, series, sequence, number, issue_date FROM billing.invoice
         WHERE number IS NOT NULL
         UNION ALL
         SELECT id, series, sequence, number, issue_date FROM billing.credit_note
         ORDER BY series, sequence",
    );
    Ok(documents.fetch_all(database).await?)
}

async fn series(database: &PgPool) -> Result<BTreeMap<String, i64>> {
    let series = sqlx::query_as("SELECT name, last_number FROM billing.number_series");
    let series: Vec<(String, i64)> = series.fetch_all(database).await?;
    Ok(series.into_iter().collect())
}

async fn charges(database: &PgPool, patients: &[Uuid]) -> Result<Vec<Charge>> {
    let charges = sqlx::query_as(
        "SELECT charge.id, account.patient_id AS patient, state, code, quantity,
                source_id AS appointment
         FROM billing.charge JOIN billing.account ON account.id = account_id
         WHERE account.patient_id = ANY($1)",
    );
    Ok(charges.bind(patients).fetch_all(database).await?)
}

async fn recorded(database: &PgPool) -> Result<HashMap<Recorded, i64>> {
    let recorded = sqlx::query_as(
        "SELECT action, resource_id, count(*) FROM audit.record
         WHERE outcome = 'SUCCEEDED'
           AND resource_type IN ('CHARGE', 'INVOICE', 'PAYMENT', 'REFUND')
         GROUP BY action, resource_id",
    );
    let recorded: Vec<(String, Uuid, i64)> = recorded.fetch_all(database).await?;
    let recorded = recorded.into_iter();
    Ok(recorded
        .map(|(action, resource, count)| (Recorded { action, resource }, count))
        .collect())
}

async fn faults(clinic: &Clinic) -> Option<String> {
    let invoked = clinic.aws().invoke("verify-ledger", &json!({})).await;
    let is_intact = invoked.payload["intact"] == json!(true);
    (!is_intact).then(|| invoked.payload.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Amount {
    minor_units: i64,
}

async fn statement(load: &Load, patient: Uuid) -> Result<Statement> {
    #[derive(Deserialize)]
    struct Said {
        opening: Amount,
        lines: Vec<Line>,
        closing: Amount,
    }
    #[derive(Deserialize)]
    struct Line {
        amount: Amount,
        balance: Amount,
    }
    // All of it is from this year, whatever day it is at the clinic by now.
    let tomorrow = Utc::now().date_naive() + chrono::Days::new(1);
    let path = format!("/api/patients/{patient}/statement?to={tomorrow}");
    let said: Said = look_up(load, &path).await?.context("no statement")?.read();
    let lines = said.lines.into_iter().map(|line| StatementLine {
        amount: line.amount.minor_units,
        balance: line.balance.minor_units,
    });
    Ok(Statement {
        opening: said.opening.minor_units,
        lines: lines.collect(),
        closing: said.closing.minor_units,
    })
}

async fn worklist(load: &Load) -> Result<HashSet<Uuid>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        charges: Vec<Listed>,
        next_cursor: Option<String>,
    }
    #[derive(Deserialize)]
    struct Listed {
        id: Uuid,
    }
    let first = "/api/charges?state=UNPRICED&limit=100";
    let mut path = first.to_owned();
    let mut listed = HashSet::new();
    loop {
        let page: Page = look_up(load, &path).await?.context("no charges")?.read();
        listed.extend(page.charges.iter().map(|charge| charge.id));
        let Some(cursor) = page.next_cursor else {
            return Ok(listed);
        };
        path = format!("{first}&cursor={cursor}");
    }
}

fn event(key: String, value: &[u8]) -> Option<Event> {
    let event = BillingEvent::decode(value).ok()?;
    let cents = |money: Option<Money>| money.map(|money| money.minor_units);
    let (kind, document, follows, amount) = match event.change? {
        Change::InvoiceIssued(it) => (
            EventKind::InvoiceIssued,
            it.invoice_id,
            None,
            cents(it.total),
        ),
        Change::InvoiceVoided(it) => (
            EventKind::InvoiceVoided,
            it.invoice_id.clone(),
            Some(it.invoice_id),
            cents(it.total),
        ),
        Change::InvoiceWrittenOff(it) => (
            EventKind::InvoiceWrittenOff,
            it.invoice_id.clone(),
            Some(it.invoice_id),
            cents(it.amount),
        ),
        Change::CreditNoteIssued(it) => (
            EventKind::CreditNoteIssued,
            it.credit_note_id,
            Some(it.invoice_id),
            cents(it.total),
        ),
        Change::PaymentRecorded(it) => (
            EventKind::PaymentRecorded,
            it.payment_id,
            None,
            cents(it.amount),
        ),
        Change::PaymentReversed(it) => (
            EventKind::PaymentReversed,
            it.payment_id.clone(),
            Some(it.payment_id),
            cents(it.amount),
        ),
        Change::RefundCompleted(it) => (
            EventKind::RefundCompleted,
            it.refund_id,
            Some(it.payment_id),
            cents(it.amount),
        ),
    };
    Some(Event {
        id: event.event_id,
        key,
        patient: event.patient_id.parse().ok()?,
        kind,
        document: document.parse().ok()?,
        follows: follows.and_then(|id| id.parse().ok()),
        amount: amount?,
    })
}

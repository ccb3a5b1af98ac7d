//! `GET /api/billing/export`: every posting of a period.

use api::{
    Cursor, Id, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use identity::{Caller, Permission};
use money::Money;
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use store::Transaction;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{answer, day::Day, patients, problem::problem};

/// From how many postings on a response is full: about 2 MB of the 6 that a function may answer.
const ENOUGH: usize = 5_000;

/// How many patients fit into one record of the audit trail.
const PATIENTS_PER_RECORD: usize = 100;

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/billing/export")
    .function("export-ledger")
    .requires(Permission::ExportLedger)
    .records(Action::ExportLedger);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(export_ledger, (database.clone(), billing), database)
}

/// Which period, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// The first day.
    #[param(value_type = NaiveDate)]
    from: Day,
    /// The last day.
    #[param(value_type = NaiveDate)]
    to: Day,
    /// `nextCursor` of the previous page, or `resumeCursor` of the last one; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<Id>>,
}

/// A page of the ledger.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LedgerPage {
    /// In the order in which they were booked. Those of an entry are on one page.
    postings: Vec<LedgerPosting>,
    /// Send it as `cursor` to get the next page; null on the last one. A page has about 5,000
    /// postings.
    #[schema(required)]
    next_cursor: Option<String>,
    /// Send it as `cursor` later to get what was booked since; null as long as nothing is booked. Whoever
    /// always goes on from here gets every posting once.
    #[schema(required)]
    resume_cursor: Option<String>,
}

/// An amount on one side of an account
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "entryId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3fa",
    "entryKind": "INVOICE_ISSUED",
    "date": "2027-01-15",
    "recordedAt": "2027-01-15T09:30:00.223456Z",
    "account": "RECEIVABLE",
    "amount": { "currency": "EUR", "minorUnits": 7735 },
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
    "paymentId": null,
    "documentNumber": "2027-000017",
    "actorId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "reversesEntryId": null
}))]
pub(crate) struct LedgerPosting {
    /// The entry that it is a part of. All postings of an entry add up to 0.
    entry_id: Uuid,
    /// What was booked.
    entry_kind: EntryKind,
    /// The day on which it was booked.
    date: NaiveDate,
    /// When it was booked.
    recorded_at: DateTime<Utc>,
    /// The account.
    account: LedgerAccount,
    /// A debit is more than 0, a credit less.
    amount: Money,
    /// The patient whose account it is on, or whose it was for.
    #[schema(required)]
    patient_id: Option<Uuid>,
    /// The invoice that it is about.
    #[schema(required)]
    invoice_id: Option<Uuid>,
    /// The payment that it is about.
    #[schema(required)]
    payment_id: Option<Uuid>,
    /// The number of the invoice or credit note.
    #[schema(required)]
    document_number: Option<String>,
    /// Who did it; null if the system did.
    #[schema(required)]
    actor_id: Option<Uuid>,
    /// The entry that it takes back.
    #[schema(required)]
    reverses_entry_id: Option<Uuid>,
}

/// An account of the ledger
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum LedgerAccount {
    /// What a patient owes.
    Receivable,
    /// What a patient has paid that is for no invoice yet.
    Credit,
    /// What was earned.
    Revenue,
    /// The tax on it.
    Tax,
    /// Coins and notes.
    Cash,
    /// Paid with cards.
    Card,
    /// In the bank.
    Transfer,
    /// What was given up.
    BadDebt,
}

/// What was booked
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum EntryKind {
    /// An invoice was issued.
    InvoiceIssued,
    /// An invoice was taken back.
    InvoiceVoided,
    /// A credit note was issued.
    CreditNoteIssued,
    /// What was due on an invoice was given up.
    InvoiceWrittenOff,
    /// A payment was recorded.
    PaymentRecorded,
    /// A payment was reversed.
    PaymentReversed,
    /// Credit was used for an invoice.
    CreditAllocated,
    /// What was used for an invoice is credit again.
    AllocationReleased,
    /// Money was paid back.
    RefundCompleted,
}

/// Export the ledger
///
/// Every posting of a period, for the clinic's accountant, until now. Restricted patients are in it only for
/// callers who may see them. Whose data is on a page is recorded in the audit trail.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(Page),
    responses(
        (status = 200, description = "A page of the ledger", body = LedgerPage),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn export_ledger(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<LedgerPage>, Problem> {
    let after = page.cursor.map(|Cursor(Id(entry))| entry);
    let request = v1::ExportLedgerRequest {
        from_date: page.from.0.to_string(),
        to_date: page.to.0.to_string(),
        include_restricted: caller.role.may(Permission::SeeRestrictedPatients),
        after_entry_id: after.map(|entry| entry.to_string()).unwrap_or_default(),
    };
    let page = read(&billing, request, after).await.map_err(problem)?;
    record(&page.postings, &database, &trail).await?;
    Ok(Json(page))
}

/// As many postings as fit.
async fn read(
    billing: &BillingClient,
    request: v1::ExportLedgerRequest,
    after: Option<Uuid>,
) -> Result<LedgerPage, BillingError> {
    let mut ledger = billing.export_ledger(request).await?;
    let mut postings: Vec<LedgerPosting> = Vec::new();
    let mut is_full = false;
    // Entries are never divided between messages.
    while let Some(part) = ledger.message().await? {
        if postings.len() >= ENOUGH {
            is_full = true;
            break;
        }
        for posting in part.postings {
            postings.push(posting.try_into()?);
        }
    }
    let last = postings.last().map(|last| last.entry_id).or(after);
    let resume_cursor = last.map(|entry| Cursor(Id(entry)).encode());
    Ok(LedgerPage {
        postings,
        next_cursor: resume_cursor.clone().filter(|_| is_full),
        resume_cursor,
    })
}

/// Records whose data is on the page: a record for each hundred of them.
async fn record(
    postings: &[LedgerPosting],
    database: &PgPool,
    trail: &Trail,
) -> Result<(), Problem> {
    let patients = patients::each_once(postings.iter().filter_map(|posting| posting.patient_id));
    let mut transaction = Transaction::begin(database).await?;
    let (first, rest) = patients.split_at(patients.len().min(PATIENTS_PER_RECORD));
    trail
        .succeeded(&mut transaction, Subject::Patients(first))
        .await?;
    for patients in rest.chunks(PATIENTS_PER_RECORD) {
        trail
            .succeeded(&mut transaction, Subject::Patients(patients))
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

impl TryFrom<v1::LedgerPosting> for LedgerPosting {
    type Error = BillingError;

    fn try_from(posting: v1::LedgerPosting) -> Result<Self, BillingError> {
        let entry_kind = EntryKind::of(posting.entry_kind());
        let account = LedgerAccount::of(posting.account());
        Ok(Self {
            entry_id: answer::id("entry_id", &posting.entry_id)?,
            entry_kind: entry_kind.ok_or(BillingError::Unreadable("entry_kind"))?,
            date: answer::day("business_date", &posting.business_date)?,
            recorded_at: answer::time("record_time", posting.record_time)?,
            account: account.ok_or(BillingError::Unreadable("account"))?,
            amount: answer::money("amount", posting.amount)?,
            patient_id: answer::id_if_any("patient_id", &posting.patient_id)?,
            invoice_id: answer::id_if_any("invoice_id", &posting.invoice_id)?,
            payment_id: answer::id_if_any("payment_id", &posting.payment_id)?,
            document_number: answer::text_if_any(posting.document_number),
            actor_id: answer::id_if_any("actor_id", &posting.actor_id)?,
            reverses_entry_id: answer::id_if_any("reverses_entry_id", &posting.reverses_entry_id)?,
        })
    }
}

impl LedgerAccount {
    const fn of(kind: v1::LedgerAccountKind) -> Option<Self> {
        match kind {
            v1::LedgerAccountKind::Receivable => Some(Self::Receivable),
            v1::LedgerAccountKind::Credit => Some(Self::Credit),
            v1::LedgerAccountKind::Revenue => Some(Self::Revenue),
            v1::LedgerAccountKind::Tax => Some(Self::Tax),
            v1::LedgerAccountKind::Cash => Some(Self::Cash),
            v1::LedgerAccountKind::Card => Some(Self::Card),
            v1::LedgerAccountKind::Transfer => Some(Self::Transfer),
            v1::LedgerAccountKind::BadDebt => Some(Self::BadDebt),
            v1::LedgerAccountKind::Unspecified => None,
        }
    }
}

impl EntryKind {
    const fn of(kind: v1::EntryKind) -> Option<Self> {
        match kind {
            v1::EntryKind::InvoiceIssued => Some(Self::InvoiceIssued),
            v1::EntryKind::InvoiceVoided => Some(Self::InvoiceVoided),
            v1::EntryKind::CreditNoteIssued => Some(Self::CreditNoteIssued),
            v1::EntryKind::InvoiceWrittenOff => Some(Self::InvoiceWrittenOff),
            v1::EntryKind::PaymentRecorded => Some(Self::PaymentRecorded),
            v1::EntryKind::PaymentReversed => Some(Self::PaymentReversed),
            v1::EntryKind::CreditAllocated => Some(Self::CreditAllocated),
            v1::EntryKind::AllocationReleased => Some(Self::AllocationReleased),
            v1::EntryKind::RefundCompleted => Some(Self::RefundCompleted),
            v1::EntryKind::Unspecified => None,
        }
    }
}

//! `IssueInvoice`: a draft gets the next number, and is what it is from then on.
//!
//! Everybody who issues an invoice waits for the number from when it is taken to the end of the
//! transaction. So everything that can be done before is done before.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{
    BilledTo, Invoice, InvoiceState, IssueInvoiceRequest, IssueInvoiceResponse,
};
use events::BillingChange;
use uuid::Uuid;

use super::invoice::{StoredInvoice, StoredLine, lines, whole};
use crate::service::{
    input::{self, etag},
    ledger::{Book, Earned, Entry, EntryKind, LedgerAccount, Numbered, Posting, next_number},
    party::Party,
    settle::{Use, up_to, use_payments},
    wire,
    work::{Change, Stopped, Work},
};

/// What comes before the year in the name of the series.
const SERIES: &str = "";

impl Change for IssueInvoiceRequest {
    type Answer = IssueInvoiceResponse;

    const METHOD: &'static str = "IssueInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<IssueInvoiceResponse, Stopped> {
        let id = input::id_of("id", &self.invoice_id)?;
        let (party, draft) = StoredInvoice::lock(work, id, &self.etag).await?;
        draft.must_be_draft()?;
        let lines = lines(&mut work.transaction, id).await?;
        if lines.is_empty() {
            let why = "the invoice has no line";
            return Err(draft.refusal(RefusalReason::InvoiceEmpty, why).into());
        }

        let charges: Vec<Uuid> = lines.iter().map(|line| line.charge_id).collect();
        let theirs = sqlx::query!(
            "UPDATE billing.charge SET state = 'INVOICED' WHERE id = ANY($1) AND account_id = ANY($2)",
            &charges,
            &party.account_ids(),
        )
        .execute(&mut work.transaction)
        .await?;
        // It was drafted while two records were merged, and they are two patients again.
        if usize::try_from(theirs.rows_affected()) != Ok(charges.len()) {
            let why = "the draft has charges of another patient: change it, or give it up";
            return Err(draft.refusal(RefusalReason::ChargeNotBillable, why).into());
        }
        let uses = up_to(credit_of(work, &party, &draft).await?, draft.total);
        use_payments(work, &uses).await?;
        let mut entries = vec![issued(&draft, &lines)];
        entries.extend(uses.iter().map(Use::allocation));
        let book = Book::open(work, &draft.currency, &entries).await?;
        let today = work.today();
        let before = whole(&mut work.transaction, id, today).await?;
        let billed_to = party.own()?.billed_to();
        work.record(
            Action::IssueInvoice,
            draft.resource(),
            Some(draft.patient_id),
        );

        let numbered = next_number(work, SERIES).await?;
        let allocated = uses.iter().map(|used| used.amount).sum();
        let invoice = number(work, before, &draft, numbered, billed_to, allocated).await?;
        book.write(work, entries).await?;
        let change = BillingChange::InvoiceIssued {
            invoice: id,
            total: wire::amount(&draft.currency, draft.total),
            tax: wire::amount(&draft.currency, draft.tax),
            due: wire::amount(&draft.currency, draft.total - allocated),
            due_date: invoice.due_on,
        };
        work.announce(draft.patient_id, change);
        Ok(IssueInvoiceResponse {
            invoice: Some(invoice.answer),
        })
    }
}

/// What the patient has of credit in the currency of the draft, the oldest first.
async fn credit_of(
    work: &mut Work,
    party: &Party,
    draft: &StoredInvoice,
) -> Result<Vec<Use>, Stopped> {
    let uses = sqlx::query_as!(
        Use,
        r#"SELECT id AS payment, account_id AS payment_account, $3::uuid AS "invoice!",
                  $4::uuid AS "invoice_account!", credit AS "amount!"
           FROM billing.payment
           WHERE account_id = ANY($1) AND currency = $2 AND credit > 0
           ORDER BY created_at, id"#,
        &party.account_ids(),
        draft.currency,
        draft.id,
        draft.account_id,
    )
    .fetch_all(&mut work.transaction)
    .await?;
    Ok(uses)
}

/// The entry of an invoice: the patient owes it; it is revenue, and tax.
fn issued(draft: &StoredInvoice, lines: &[StoredLine]) -> Entry {
    let receivable = LedgerAccount::Receivable(draft.account_id);
    let mut earned = Earned::default();
    for line in lines {
        earned.add(&line.code, line.tax_rate_ppm, line.net, line.tax);
    }
    let mut postings = vec![Posting::debit(receivable, draft.total)];
    postings.extend(earned.credits());
    Entry::new(EntryKind::InvoiceIssued, draft.account_id, postings).about_invoice(draft.id)
}

struct Issued {
    due_on: chrono::NaiveDate,
    answer: Invoice,
}

/// Gives the draft its number, and answers what it is now: as it was read before, with what
/// changes.
async fn number(
    work: &mut Work,
    before: Invoice,
    draft: &StoredInvoice,
    numbered: Numbered,
    billed_to: BilledTo,
    allocated: i64,
) -> Result<Issued, Stopped> {
    let issued_on = numbered.date;
    let due_date = work.clinic.due_date(issued_on);
    let issued_at = work.now();
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    sqlx::query!(
        "WITH dated AS (
             UPDATE billing.number_series SET last_date = $6 WHERE name = $3
         )
         UPDATE billing.invoice
         SET version = version + 1, state = 'ISSUED', allocated = $2, series = $3, sequence = $4,
             number = $5, issue_date = $6, due_date = $7, billed_name = $8, billed_email = $9,
             billed_address = $10, issued_by = $11, issued_at = $12
         WHERE id = $1",
        draft.id,
        allocated,
        numbered.series,
        numbered.sequence,
        numbered.number,
        issued_on,
        due_date,
        some(&billed_to.name),
        some(&billed_to.email),
        some(&billed_to.address),
        work.actor(),
        issued_at,
    )
    .execute(&mut work.transaction)
    .await?;
    let money = |amount| Some(wire::money(&draft.currency, amount));
    let answer = Invoice {
        state: InvoiceState::Issued.into(),
        etag: etag(draft.version + 1),
        number: numbered.number,
        allocated: money(allocated),
        due: money(draft.total - allocated),
        issue_date: wire::day(Some(issued_on)),
        due_date: wire::day(Some(due_date)),
        billed_to: Some(billed_to),
        issue_time: Some(wire::time(issued_at)),
        issued_by: wire::id(work.actor()),
        ..before
    };
    Ok(Issued {
        due_on: due_date,
        answer,
    })
}

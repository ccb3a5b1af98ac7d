//! `GetStatement`: what happened on a patient's account in a period.
//!
//! A line is an entry that changed what the patient owes: allocations only move it from one hand to
//! the other.

use chrono::NaiveDate;
use contracts::billing::v1::{
    GetStatementRequest, GetStatementResponse, StatementLine, StatementLineKind,
};
use money::Currency;
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use super::period::currency;
use crate::service::{
    clinic::Clinic,
    database::failed,
    input,
    ledger::EntryKind,
    party::{accounts_of, billed_to_now},
    refused::{Faults, no_account},
    wire,
    work::{Books, Question},
};

/// How many lines a page has if nobody says how many, and at most.
const PAGE: (i64, i64) = (100, 500);

impl Question for GetStatementRequest {
    type Answer = GetStatementResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let wanted = Wanted::read(self, &books.clinic, books.clinic.today())?;
        let mut view = books.snapshot().await?;
        let accounts = accounts_of(&mut view, wanted.patient).await;
        let accounts = accounts.map_err(|error| failed(&error))?;
        if accounts.is_empty() {
            return Err(no_account());
        }
        wanted.find(&mut view, &accounts).await
    }
}

/// Whose statement is wanted, of which period and in which currency, and which lines of it.
pub(super) struct Wanted {
    patient: Uuid,
    from: Option<NaiveDate>,
    to: NaiveDate,
    currency: Currency,
    size: i64,
    /// The number of the entry that the page before ended with.
    after: Option<i64>,
}

impl Wanted {
    /// Reads it. A statement is until today, if nothing else is said.
    pub(super) fn read(
        request: &GetStatementRequest,
        clinic: &Clinic,
        today: NaiveDate,
    ) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::id(&request.patient_id));
        let from = faults.take("from", input::optional_day(&request.from_date));
        let to = faults.take("to", input::optional_day(&request.to_date));
        let currency = currency(&request.currency_code, clinic, &mut faults);
        let (Some(patient), Some(from), Some(to)) = (patient, from, to) else {
            return Err(faults.refusal());
        };
        let to = to.unwrap_or(today);
        if from.is_some_and(|from| from > to) {
            faults.note("to", "Cannot be before from");
        }
        faults.none()?;
        Ok(Self {
            patient,
            from,
            to,
            currency,
            size: input::page_size_of(request.page_size, PAGE)?,
            after: input::page_token(&request.page_token)?,
        })
    }

    /// More or fewer lines than a page has.
    pub(super) fn with_at_most(self, lines: usize) -> Self {
        Self {
            size: i64::try_from(lines).unwrap_or(i64::MAX - 1),
            ..self
        }
    }

    /// Finds it on the patient's accounts.
    ///
    /// # Errors
    /// `NOT_FOUND` if the patient's own is not open yet; or if the database fails.
    pub(super) async fn find(
        &self,
        view: &mut Transaction,
        accounts: &[Uuid],
    ) -> Result<GetStatementResponse, Status> {
        let found = async {
            let sums = sums(view, accounts, self).await?;
            let lines = lines(view, accounts, self).await?;
            Ok((sums, lines, billed_to_now(view, self.patient).await?))
        };
        let found = found.await.map_err(|error: sqlx::Error| failed(&error))?;
        let ((opening, in_period), lines, billed_to) = found;
        let billed_to = billed_to.ok_or_else(no_account)?;

        let (lines, next_page_token) = input::page(lines, self.size, |last| last.number);
        let code = self.currency.code();
        Ok(GetStatementResponse {
            opening: Some(wire::money(code, opening)),
            lines: lines
                .into_iter()
                .map(|line| line.into_wire(code, opening))
                .collect(),
            closing: Some(wire::money(code, opening + in_period)),
            next_page_token,
            from_date: wire::day(self.from),
            to_date: wire::day(Some(self.to)),
            billed_to: Some(billed_to),
        })
    }
}

/// What the patient owed before the period, and how that changed in it.
async fn sums(
    view: &mut Transaction,
    accounts: &[Uuid],
    wanted: &Wanted,
) -> Result<(i64, i64), sqlx::Error> {
    let sums = sqlx::query!(
        r#"SELECT coalesce(sum(amount) FILTER (WHERE business_date < $3), 0)::bigint AS "before!",
                  coalesce(sum(amount) FILTER (WHERE $3::date IS NULL OR business_date >= $3), 0)::bigint AS "within!"
           FROM billing.ledger_account AS account
           JOIN billing.posting ON posting.ledger_account_id = account.id
           JOIN billing.entry ON entry.id = posting.entry_id
           WHERE account.account_id = ANY($1) AND account.currency = $2 AND business_date <= $4"#,
        accounts,
        wanted.currency.code(),
        wanted.from,
        wanted.to,
    )
    .fetch_one(view)
    .await?;
    Ok((sums.before, sums.within))
}

struct Line {
    id: Uuid,
    number: i64,
    business_date: NaiveDate,
    kind: EntryKind,
    amount: i64,
    so_far: i64,
    document_number: Option<String>,
    invoice_id: Option<Uuid>,
    payment_id: Option<Uuid>,
}

/// The lines of a page, and one more if there is more.
async fn lines(
    view: &mut Transaction,
    accounts: &[Uuid],
    wanted: &Wanted,
) -> Result<Vec<Line>, sqlx::Error> {
    sqlx::query_as!(
        Line,
        r#"WITH effect AS (
               SELECT entry.id, sum(posting.amount)::bigint AS amount
               FROM billing.ledger_account AS account
               JOIN billing.posting ON posting.ledger_account_id = account.id
               JOIN billing.entry ON entry.id = posting.entry_id
               WHERE account.account_id = ANY($1) AND account.currency = $2
                   AND ($3::date IS NULL OR business_date >= $3) AND business_date <= $4
               GROUP BY entry.id
               HAVING sum(posting.amount) <> 0
           ), line AS (
               SELECT entry.*, effect.amount,
                      sum(effect.amount) OVER (ORDER BY business_date, number)::bigint AS so_far
               FROM effect JOIN billing.entry ON entry.id = effect.id
           )
           SELECT line.id AS "id!", line.number AS "number!",
                  line.business_date AS "business_date!", line.kind AS "kind!: EntryKind",
                  line.amount AS "amount!", line.so_far AS "so_far!",
                  coalesce(credit_note.number, invoice.number, refund.reference, payment.reference)
                      AS document_number,
                  line.invoice_id, line.payment_id
           FROM line
           LEFT JOIN billing.invoice ON invoice.id = line.invoice_id
           LEFT JOIN billing.credit_note ON credit_note.id = line.credit_note_id
           LEFT JOIN billing.refund ON refund.id = line.refund_id
           LEFT JOIN billing.payment ON payment.id = line.payment_id AND line.refund_id IS NULL
           WHERE $5::bigint IS NULL OR (line.business_date, line.number) > (
               SELECT last.business_date, last.number FROM billing.entry AS last WHERE last.number = $5
           )
           ORDER BY line.business_date, line.number
           LIMIT $6"#,
        accounts,
        wanted.currency.code(),
        wanted.from,
        wanted.to,
        wanted.after,
        wanted.size + 1,
    )
    .fetch_all(view)
    .await
}

impl Line {
    fn into_wire(self, currency: &str, opening: i64) -> StatementLine {
        StatementLine {
            entry_id: self.id.to_string(),
            date: wire::day(Some(self.business_date)),
            kind: kind(self.kind).into(),
            amount: Some(wire::money(currency, self.amount)),
            balance: Some(wire::money(currency, opening + self.so_far)),
            document_number: self.document_number.unwrap_or_default(),
            invoice_id: wire::id(self.invoice_id),
            payment_id: wire::id(self.payment_id),
        }
    }
}

/// What a patient calls it. An allocation shows where two records of a patient were merged, one's
/// credit was used for the other's invoice, and the merge was undone.
const fn kind(kind: EntryKind) -> StatementLineKind {
    match kind {
        EntryKind::InvoiceIssued => StatementLineKind::Invoice,
        EntryKind::InvoiceVoided => StatementLineKind::InvoiceVoided,
        EntryKind::CreditNoteIssued => StatementLineKind::CreditNote,
        EntryKind::InvoiceWrittenOff => StatementLineKind::WriteOff,
        EntryKind::PaymentRecorded | EntryKind::CreditAllocated => StatementLineKind::Payment,
        EntryKind::PaymentReversed | EntryKind::AllocationReleased => {
            StatementLineKind::PaymentReversed
        }
        EntryKind::RefundCompleted => StatementLineKind::Refund,
    }
}

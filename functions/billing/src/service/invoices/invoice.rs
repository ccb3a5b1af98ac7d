//! An invoice as it is stored and as it is returned.

use std::collections::BTreeMap;

use api::RefusalReason;
use audit_trail::{Resource, ResourceType};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::{
    BilledTo, CreditNote, CreditNoteLine, Invoice, InvoiceLine, InvoiceState, TaxTotal,
    WriteOffRequest,
};
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    input::{check_etag, etag},
    party::{Matter, Party},
    refused::{not_found, not_now},
    wire,
    work::{Stopped, Work},
};

/// The state of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum State {
    Draft,
    Issued,
    Void,
    WrittenOff,
}

impl From<State> for InvoiceState {
    fn from(state: State) -> Self {
        match state {
            State::Draft => Self::Draft,
            State::Issued => Self::Issued,
            State::Void => Self::Void,
            State::WrittenOff => Self::WrittenOff,
        }
    }
}

/// The state of an invoice in a request, by its name in the database; none if it is unspecified.
pub(super) fn state_name(state: InvoiceState) -> Option<&'static str> {
    match state {
        InvoiceState::Unspecified => None,
        InvoiceState::Draft => Some("DRAFT"),
        InvoiceState::Issued => Some("ISSUED"),
        InvoiceState::Void => Some("VOID"),
        InvoiceState::WrittenOff => Some("WRITTEN_OFF"),
    }
}

/// A row of `billing.invoice`, with the patient, and with the request to write it off.
#[derive(Debug, Clone)]
pub(crate) struct StoredInvoice {
    pub(crate) id: Uuid,
    pub(crate) account_id: Uuid,
    pub(crate) patient_id: Uuid,
    pub(crate) version: i64,
    pub(crate) state: State,
    pub(crate) currency: String,
    pub(crate) net: i64,
    pub(crate) tax: i64,
    pub(crate) total: i64,
    pub(crate) allocated: i64,
    pub(crate) credited: i64,
    pub(crate) written_off: i64,
    pub(crate) due: i64,
    pub(crate) number: Option<String>,
    pub(crate) issue_date: Option<NaiveDate>,
    pub(crate) due_date: Option<NaiveDate>,
    pub(crate) billed_name: Option<String>,
    pub(crate) billed_email: Option<String>,
    pub(crate) billed_address: Option<String>,
    pub(crate) created_by: Option<Uuid>,
    pub(crate) issued_by: Option<Uuid>,
    pub(crate) voided_by: Option<Uuid>,
    pub(crate) written_off_by: Option<Uuid>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) issued_at: Option<DateTime<Utc>>,
    pub(crate) voided_at: Option<DateTime<Utc>>,
    pub(crate) written_off_at: Option<DateTime<Utc>>,
    pub(crate) reason: Option<String>,
    pub(crate) requested_amount: Option<i64>,
    pub(crate) request_reason: Option<String>,
    pub(crate) requested_by: Option<Uuid>,
    pub(crate) requested_at: Option<DateTime<Utc>>,
}

/// The invoices with these ids, the newest first.
pub(crate) async fn find(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<StoredInvoice>, sqlx::Error> {
    sqlx::query_as!(
        StoredInvoice,
        r#"SELECT invoice.id, invoice.account_id, account.patient_id, invoice.version,
                  invoice.state AS "state: State", invoice.currency, invoice.net, invoice.tax,
                  invoice.total, invoice.allocated, invoice.credited, invoice.written_off,
                  invoice.due, invoice.number, invoice.issue_date, invoice.due_date,
                  CASE invoice.state WHEN 'DRAFT' THEN account.name ELSE billed_name END AS billed_name,
                  CASE invoice.state WHEN 'DRAFT' THEN account.email ELSE billed_email END AS billed_email,
                  CASE invoice.state WHEN 'DRAFT' THEN account.address ELSE billed_address END AS billed_address,
                  invoice.created_by, invoice.issued_by, invoice.voided_by, invoice.written_off_by,
                  invoice.created_at, invoice.issued_at, invoice.voided_at, invoice.written_off_at,
                  invoice.reason,
                  request.amount AS "requested_amount?", request.reason AS "request_reason?",
                  request.requested_by AS "requested_by?", request.requested_at AS "requested_at?"
           FROM billing.invoice
           JOIN billing.account ON account.id = invoice.account_id
           LEFT JOIN billing.write_off AS request
               ON request.invoice_id = invoice.id AND request.state = 'REQUESTED'
           WHERE invoice.id = ANY($1)
           ORDER BY invoice.id DESC"#,
        ids,
    )
    .fetch_all(transaction)
    .await
}

impl StoredInvoice {
    /// Locks the accounts that an invoice touches, and answers its patient and it.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such invoice, `ABORTED` if its etag is another.
    pub(super) async fn lock(
        work: &mut Work,
        id: Uuid,
        etag: &str,
    ) -> Result<(Party, Self), Stopped> {
        let party = work.lock_matter(Matter::Invoice(id)).await?;
        let party = party.ok_or_else(|| not_found("invoice"))?;
        let invoice = Self::get(&mut work.transaction, id).await?;
        check_etag(etag, invoice.version)?;
        Ok((party, invoice))
    }

    /// The invoice with this id.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none.
    pub(super) async fn get(transaction: &mut Transaction, id: Uuid) -> Result<Self, Stopped> {
        let found = find(transaction, &[id]).await?.into_iter().next();
        Ok(found.ok_or_else(|| not_found("invoice"))?)
    }

    /// The refusal of what cannot be done with it now.
    pub(crate) fn refusal(&self, reason: RefusalReason, why: &str) -> Status {
        not_now(reason, format_args!("invoice {}", self.id), why)
    }

    /// Refuses what can only be done with a draft.
    pub(super) fn must_be_draft(&self) -> Result<(), Status> {
        if self.state == State::Draft {
            return Ok(());
        }
        Err(self.refusal(RefusalReason::InvoiceNotDraft, "the invoice is not a draft"))
    }

    /// What the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Invoice, self.id)
    }

    /// The invoice as it is returned, without lines and credit notes.
    pub(super) fn into_wire(self, today: NaiveDate) -> Invoice {
        let money = |amount| Some(wire::money(&self.currency, amount));
        let request = self.requested_amount.map(|amount| WriteOffRequest {
            amount: money(amount),
            reason: self.request_reason.unwrap_or_default(),
            requested_by: wire::id(self.requested_by),
            request_time: self.requested_at.map(wire::time),
        });
        Invoice {
            invoice_id: self.id.to_string(),
            patient_id: self.patient_id.to_string(),
            state: InvoiceState::from(self.state).into(),
            etag: etag(self.version),
            number: self.number.unwrap_or_default(),
            currency_code: self.currency.clone(),
            lines: Vec::new(),
            taxes: Vec::new(),
            net: money(self.net),
            tax: money(self.tax),
            total: money(self.total),
            allocated: money(self.allocated),
            credited: money(self.credited),
            written_off: money(self.written_off),
            due: money(self.due),
            issue_date: wire::day(self.issue_date),
            due_date: wire::day(self.due_date),
            overdue: self.due > 0 && self.due_date.is_some_and(|due_date| due_date < today),
            billed_to: Some(BilledTo {
                name: self.billed_name.unwrap_or_default(),
                email: self.billed_email.unwrap_or_default(),
                address: self.billed_address.unwrap_or_default(),
            }),
            credit_notes: Vec::new(),
            write_off_request: request,
            create_time: Some(wire::time(self.created_at)),
            issue_time: self.issued_at.map(wire::time),
            void_time: self.voided_at.map(wire::time),
            write_off_time: self.written_off_at.map(wire::time),
            created_by: wire::id(self.created_by),
            issued_by: wire::id(self.issued_by),
            voided_by: wire::id(self.voided_by),
            written_off_by: wire::id(self.written_off_by),
            reason: self.reason.unwrap_or_default(),
        }
    }
}

/// A row of `billing.invoice_line`, with what was credited of it.
#[derive(Debug, Clone)]
pub(super) struct StoredLine {
    pub(super) id: Uuid,
    pub(super) charge_id: Uuid,
    pub(super) code: String,
    pub(super) description: String,
    pub(super) service_date: NaiveDate,
    pub(super) quantity: i32,
    pub(super) unit_amount: i64,
    pub(super) discount: i64,
    pub(super) net: i64,
    pub(super) tax_rate_ppm: i32,
    pub(super) tax: i64,
    pub(super) total: i64,
    pub(super) credited: i64,
    pub(super) credited_tax: i64,
}

/// The lines of an invoice, in their order.
pub(super) async fn lines(
    transaction: &mut Transaction,
    invoice: Uuid,
) -> Result<Vec<StoredLine>, sqlx::Error> {
    sqlx::query_as!(
        StoredLine,
        r#"SELECT line.id, charge_id, code, description, service_date, quantity, unit_amount,
                  discount, line.net, tax_rate_ppm, line.tax, line.total,
                  coalesce(sum(credited.total), 0)::bigint AS "credited!",
                  coalesce(sum(credited.tax), 0)::bigint AS "credited_tax!"
           FROM billing.invoice_line AS line
           LEFT JOIN billing.credit_note_line AS credited ON credited.invoice_line_id = line.id
           WHERE invoice_id = $1
           GROUP BY line.id
           ORDER BY position"#,
        invoice,
    )
    .fetch_all(transaction)
    .await
}

/// The sums of lines by rate of tax.
fn taxes(currency: &str, lines: &[StoredLine]) -> Vec<TaxTotal> {
    let mut sums: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for line in lines {
        let sum = sums.entry(line.tax_rate_ppm).or_default();
        *sum = (sum.0 + line.net, sum.1 + line.tax);
    }
    let taxes = sums.into_iter().map(|(rate, (net, tax))| TaxTotal {
        tax_rate_ppm: wire::count(rate),
        net: Some(wire::money(currency, net)),
        tax: Some(wire::money(currency, tax)),
    });
    taxes.collect()
}

/// An invoice with everything that belongs to it.
pub(super) async fn whole(
    transaction: &mut Transaction,
    id: Uuid,
    today: NaiveDate,
) -> Result<Invoice, Stopped> {
    let invoice = StoredInvoice::get(transaction, id).await?;
    let lines = lines(transaction, id).await?;
    let credit_notes = credit_notes(transaction, &invoice).await?;
    Ok(Invoice {
        taxes: taxes(&invoice.currency, &lines),
        lines: lines
            .into_iter()
            .map(|line| line.into_wire(&invoice.currency))
            .collect(),
        credit_notes,
        ..invoice.into_wire(today)
    })
}

impl StoredLine {
    fn into_wire(self, currency: &str) -> InvoiceLine {
        let money = |amount| Some(wire::money(currency, amount));
        InvoiceLine {
            line_id: self.id.to_string(),
            charge_id: self.charge_id.to_string(),
            code: self.code,
            description: self.description,
            service_date: wire::day(Some(self.service_date)),
            quantity: wire::count(self.quantity),
            unit_price: money(self.unit_amount),
            discount: money(self.discount),
            net: money(self.net),
            tax_rate_ppm: wire::count(self.tax_rate_ppm),
            tax: money(self.tax),
            total: money(self.total),
            credited: money(self.credited),
        }
    }
}

/// The credit notes of an invoice, in the order in which they were issued.
async fn credit_notes(
    transaction: &mut Transaction,
    invoice: &StoredInvoice,
) -> Result<Vec<CreditNote>, sqlx::Error> {
    if invoice.credited == 0 {
        return Ok(Vec::new());
    }
    let notes = sqlx::query!(
        "SELECT id, number, issue_date, net, tax, total, reason, issued_at, issued_by
         FROM billing.credit_note WHERE invoice_id = $1 ORDER BY issued_at, id",
        invoice.id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let lines = sqlx::query!(
        "SELECT credit_note_id, invoice_line_id, line.net, line.tax, line.total
         FROM billing.credit_note_line AS line
         JOIN billing.credit_note ON credit_note.id = line.credit_note_id
         JOIN billing.invoice_line ON invoice_line.id = line.invoice_line_id
         WHERE credit_note.invoice_id = $1
         ORDER BY invoice_line.position",
        invoice.id,
    )
    .fetch_all(transaction)
    .await?;
    let money = |amount| Some(wire::money(&invoice.currency, amount));
    let notes = notes.into_iter().map(|note| CreditNote {
        credit_note_id: note.id.to_string(),
        number: note.number,
        issue_date: wire::day(Some(note.issue_date)),
        net: money(note.net),
        tax: money(note.tax),
        total: money(note.total),
        reason: note.reason.unwrap_or_default(),
        lines: lines
            .iter()
            .filter(|line| line.credit_note_id == note.id)
            .map(|line| CreditNoteLine {
                line_id: line.invoice_line_id.to_string(),
                net: money(line.net),
                tax: money(line.tax),
                total: money(line.total),
            })
            .collect(),
        issue_time: Some(wire::time(note.issued_at)),
        issued_by: wire::id(note.issued_by),
    });
    Ok(notes.collect())
}

//! `RecordPayment`: what came in, and which invoices it is for. The rest is the patient's credit.
//!
//! The same transfer is recorded once, for ever: the request id makes a repetition harmless for as
//! long as it is stored, and the constraint on method and reference after that.

use api::RefusalReason;
use audit_trail::{Action, Resource, ResourceType};
use contracts::billing::v1::{RecordPaymentRequest, RecordPaymentResponse};
use events::BillingChange;
use money::Money;
use tonic::Status;
use uuid::Uuid;

use super::payment::one;
use crate::service::{
    input,
    invoices::{InvoiceState, StoredInvoice, find},
    ledger::{Entry, EntryKind, LedgerAccount, Posting, book},
    method::Method,
    party::Party,
    refused::{Faults, invalid, known},
    settle::{Use, settle_invoices, use_payments},
    wire,
    work::{Change, Stopped, Work},
};

/// How many invoices one payment may be for.
pub(super) const MAX_INVOICES: usize = 50;

impl Change for RecordPaymentRequest {
    type Answer = RecordPaymentResponse;

    const METHOD: &'static str = "RecordPayment";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<RecordPaymentResponse, Stopped> {
        let wanted = Wanted::read(self)?;
        let party = work.lock_patient(wanted.patient).await?;
        let account = party.own()?;
        let invoices = payable(work, &party, &wanted).await?;

        let id = wanted.insert(work, account.id).await?;
        let mut left = wanted.amount.minor_units();
        let mut uses = Vec::new();
        for invoice in invoices {
            let amount = invoice.due.min(left);
            left -= amount;
            if amount > 0 {
                uses.push(Use {
                    payment: id,
                    payment_account: account.id,
                    invoice: invoice.id,
                    invoice_account: invoice.account_id,
                    amount,
                });
            }
        }
        use_payments(work, &uses).await?;
        settle_invoices(work, &uses).await?;
        let mut entries = vec![wanted.entry(id, account.id)];
        entries.extend(uses.iter().map(Use::allocation));
        book(work, wanted.amount.currency().code(), entries).await?;

        let change = BillingChange::PaymentRecorded {
            payment: id,
            amount: wire::amount(wanted.amount.currency().code(), wanted.amount.minor_units()),
            method: wanted.method.into(),
        };
        work.announce(account.patient_id, change);
        let resource = Resource::new(ResourceType::Payment, id);
        work.record(Action::RecordPayment, resource, Some(account.patient_id));
        Ok(RecordPaymentResponse {
            payment: Some(one(&mut work.transaction, id).await?),
        })
    }
}

struct Wanted {
    patient: Uuid,
    amount: Money,
    method: Method,
    reference: Option<String>,
    invoices: Vec<Uuid>,
}

impl Wanted {
    fn read(request: &RecordPaymentRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let patient = faults.take("patientId", input::id(&request.patient_id));
        let amount = faults.take("amount", input::positive(request.amount.as_ref()));
        let method = faults.take("method", Method::try_from(request.method()));
        let reference = faults.take("reference", input::reference(&request.reference));
        let invoices = input::ids(
            "invoiceIds",
            &request.invoice_ids,
            MAX_INVOICES,
            &mut faults,
        );
        let (Some(patient), Some(amount), Some(method), Some(reference)) =
            (patient, amount, method, reference)
        else {
            return Err(faults.refusal());
        };
        faults.none()?;
        Ok(Self {
            patient,
            amount,
            method,
            reference,
            invoices,
        })
    }

    async fn insert(&self, work: &mut Work, account: Uuid) -> Result<Uuid, Stopped> {
        let (id, today) = (Uuid::now_v7(), work.today());
        let inserted = sqlx::query!(
            "INSERT INTO billing.payment
                 (id, account_id, method, currency, amount, reference, payment_date, recorded_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT ON CONSTRAINT payment_reference_unique DO NOTHING",
            id,
            account,
            self.method.name(),
            self.amount.currency().code(),
            self.amount.minor_units(),
            self.reference,
            today,
            work.actor(),
        )
        .execute(&mut work.transaction)
        .await?;
        if inserted.rows_affected() == 1 {
            return Ok(id);
        }
        let there = sqlx::query_scalar!(
            "SELECT id FROM billing.payment WHERE method = $1 AND reference = $2",
            self.method.name(),
            self.reference,
        )
        .fetch_one(&mut work.transaction)
        .await?;
        let why = "a payment with this method and reference is recorded already";
        Err(known(RefusalReason::PaymentKnown, why, "payment_id", there).into())
    }

    fn entry(&self, payment: Uuid, account: Uuid) -> Entry {
        let amount = self.amount.minor_units();
        let postings = vec![
            Posting::debit(LedgerAccount::Money(self.method), amount),
            Posting::credit(LedgerAccount::Credit(account), amount),
        ];
        Entry::new(EntryKind::PaymentRecorded, account, postings).about_payment(payment)
    }
}

/// The invoices that it is for, in the order in which they are named.
async fn payable(
    work: &mut Work,
    party: &Party,
    wanted: &Wanted,
) -> Result<Vec<StoredInvoice>, Stopped> {
    let found = find(&mut work.transaction, &wanted.invoices).await?;
    let mut invoices = Vec::with_capacity(found.len());
    for (place, id) in wanted.invoices.iter().enumerate() {
        let field = format!("invoiceIds[{place}]");
        let invoice = found.iter().find(|invoice| invoice.id == *id);
        invoices.push(usable(
            party,
            invoice,
            wanted.amount.currency().code(),
            &field,
        )?);
    }
    Ok(invoices)
}

/// Refuses an invoice that a payment in this currency cannot be used for.
pub(super) fn usable(
    party: &Party,
    invoice: Option<&StoredInvoice>,
    currency: &str,
    field: &str,
) -> Result<StoredInvoice, Status> {
    let invoice = invoice
        .filter(|invoice| party.has(invoice.account_id))
        .ok_or_else(|| invalid(field, "Must be an invoice of the patient"))?;
    if invoice.currency != currency {
        return Err(invalid(field, "Must be in the currency of the payment"));
    }
    match invoice.state {
        InvoiceState::Issued | InvoiceState::WrittenOff => Ok(invoice.clone()),
        InvoiceState::Draft | InvoiceState::Void => {
            let why = "the invoice is not issued, or void";
            Err(invoice.refusal(RefusalReason::InvoiceNotIssued, why))
        }
    }
}

//! `VoidInvoice`: an invoice is taken back as if it had not been issued.
//!
//! What was paid of it is the patient's credit again, in the same transaction. Its charges are
//! billable again, except those that their appointment no longer has.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{VoidInvoiceRequest, VoidInvoiceResponse};
use events::BillingChange;
use uuid::Uuid;

use super::invoice::{State, StoredInvoice, whole};
use crate::service::{
    input,
    ledger::{EntryKind, book, opposite_of},
    refused::Faults,
    settle::{Use, release, uses_of_invoice},
    wire,
    work::{Change, Stopped, Work},
};

impl Change for VoidInvoiceRequest {
    type Answer = VoidInvoiceResponse;

    const METHOD: &'static str = "VoidInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<VoidInvoiceResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.invoice_id));
        let reason = faults.take("reason", input::reason(&self.reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let (_, invoice) = StoredInvoice::lock(work, id, &self.etag).await?;
        must_be_untouched(&invoice)?;

        let uses = uses_of_invoice(work, id).await?;
        release(work, &uses).await?;
        let mut entries: Vec<_> = uses.iter().map(Use::release).collect();
        let (issued, voided) = (EntryKind::InvoiceIssued, EntryKind::InvoiceVoided);
        if let Some(opposite) = opposite_of(work, issued, id, voided).await? {
            entries.push(opposite.about_invoice(id));
        }
        book(work, &invoice.currency, entries).await?;
        sqlx::query!(
            "UPDATE billing.invoice
             SET version = version + 1, state = 'VOID', voided_at = clock_timestamp(),
                 voided_by = $2, reason = $3
             WHERE id = $1",
            id,
            work.actor(),
            reason,
        )
        .execute(&mut work.transaction)
        .await?;
        free_charges(work, id).await?;
        let change = BillingChange::InvoiceVoided {
            invoice: id,
            total: wire::amount(&invoice.currency, invoice.total),
            tax: wire::amount(&invoice.currency, invoice.tax),
        };
        work.announce(invoice.patient_id, change);

        let patient = Some(invoice.patient_id);
        work.record(Action::VoidInvoice, invoice.resource(), patient);
        let today = work.today();
        Ok(VoidInvoiceResponse {
            invoice: Some(whole(&mut work.transaction, id, today).await?),
        })
    }
}

fn must_be_untouched(invoice: &StoredInvoice) -> Result<(), tonic::Status> {
    match invoice.state {
        State::Issued => {}
        State::Draft | State::Void => {
            let why = "the invoice is not issued, or void already";
            return Err(invoice.refusal(RefusalReason::InvoiceNotIssued, why));
        }
        State::WrittenOff => {
            let why = "the invoice was written off";
            return Err(invoice.refusal(RefusalReason::InvoiceWrittenOff, why));
        }
    }
    if invoice.credited > 0 {
        let why = "a credit note was issued about the invoice";
        return Err(invoice.refusal(RefusalReason::InvoiceCredited, why));
    }
    Ok(())
}

async fn free_charges(work: &mut Work, invoice: Uuid) -> Result<(), Stopped> {
    let charges = sqlx::query_scalar!(
        "UPDATE billing.invoice_line SET live = false WHERE invoice_id = $1 RETURNING charge_id",
        invoice
    )
    .fetch_all(&mut work.transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.charge
         SET state = CASE WHEN needs_credit_note OR corrected THEN 'CANCELLED' ELSE 'BILLABLE' END,
             cancelled_at = CASE WHEN needs_credit_note OR corrected THEN clock_timestamp() END,
             corrected = needs_credit_note OR corrected, needs_credit_note = false
         WHERE id = ANY($1)",
        &charges,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

//! `WriteOffInvoice`: what is due is given up.
//!
//! Up to the clinic's limit one person does that. Above it, the first one asks for it, and the call
//! of another one grants it, for no more than was asked for.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{WriteOffInvoiceRequest, WriteOffInvoiceResponse};
use events::BillingChange;
use uuid::Uuid;

use super::{
    invoice::{State, StoredInvoice, whole},
    leave_worklist,
};
use crate::service::{
    input,
    ledger::{Entry, EntryKind, LedgerAccount, Posting, book},
    refused::{Faults, nobody},
    wire,
    work::{Change, Stopped, Work},
};

impl Change for WriteOffInvoiceRequest {
    type Answer = WriteOffInvoiceResponse;

    const METHOD: &'static str = "WriteOffInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<WriteOffInvoiceResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.invoice_id));
        let reason = faults.take("reason", input::reason(&self.reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let actor = work.actor().ok_or_else(nobody)?;
        let (_, invoice) = StoredInvoice::lock(work, id, &self.etag).await?;
        if matches!(invoice.state, State::Draft | State::Void) {
            let why = "the invoice is not issued, or void";
            return Err(invoice.refusal(RefusalReason::InvoiceNotIssued, why).into());
        }
        if invoice.due == 0 {
            return Err(invoice
                .refusal(RefusalReason::NothingDue, "nothing is due")
                .into());
        }

        // With what was written off or credited before: nobody gets around the limit in steps.
        let in_all = invoice.due + invoice.written_off + invoice.credited;
        let in_all = input::stored_amount(&invoice.currency, in_all)?;
        if !work.clinic.needs_two_people(in_all) {
            ask(work, &invoice, &reason, actor, false).await?;
            grant(work, &invoice, &reason, actor).await?;
        } else if invoice
            .requested_amount
            .is_none_or(|asked| asked < invoice.due)
        {
            // Nobody has asked, or not for so much.
            ask(work, &invoice, &reason, actor, true).await?;
        } else if invoice.requested_by == Some(actor) {
            let why = "another person has to grant what you have asked for";
            return Err(invoice
                .refusal(RefusalReason::SecondPersonRequired, why)
                .into());
        } else {
            grant(work, &invoice, &reason, actor).await?;
        }

        let patient = Some(invoice.patient_id);
        work.record(Action::WriteOffInvoice, invoice.resource(), patient);
        let today = work.today();
        Ok(WriteOffInvoiceResponse {
            invoice: Some(whole(&mut work.transaction, id, today).await?),
        })
    }
}

/// Asks for it, in place of what was asked for before.
async fn ask(
    work: &mut Work,
    invoice: &StoredInvoice,
    reason: &str,
    actor: Uuid,
    second_person_required: bool,
) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.write_off SET state = 'SUPERSEDED'
         WHERE invoice_id = $1 AND state = 'REQUESTED'",
        invoice.id,
    )
    .execute(&mut work.transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO billing.write_off
             (id, invoice_id, state, amount, reason, second_person_required, requested_by)
         VALUES ($1, $2, 'REQUESTED', $3, $4, $5, $6)",
        Uuid::now_v7(),
        invoice.id,
        invoice.due,
        reason,
        second_person_required,
        actor,
    )
    .execute(&mut work.transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.invoice SET version = version + 1 WHERE id = $1",
        invoice.id
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

/// Grants it: what is due now, which may be less than what was asked for.
async fn grant(
    work: &mut Work,
    invoice: &StoredInvoice,
    reason: &str,
    actor: Uuid,
) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.write_off
         SET state = 'GRANTED', amount = $2, granted_by = $3, granted_at = clock_timestamp()
         WHERE invoice_id = $1 AND state = 'REQUESTED'",
        invoice.id,
        invoice.due,
        actor,
    )
    .execute(&mut work.transaction)
    .await?;
    sqlx::query!(
        "UPDATE billing.invoice
         SET version = version + 1, state = 'WRITTEN_OFF', written_off = written_off + $2,
             written_off_at = clock_timestamp(), written_off_by = $3, reason = $4
         WHERE id = $1",
        invoice.id,
        invoice.due,
        actor,
        reason,
    )
    .execute(&mut work.transaction)
    .await?;
    leave_worklist(work, invoice.id).await?;
    let postings = vec![
        Posting::debit(LedgerAccount::BadDebt, invoice.due),
        Posting::credit(LedgerAccount::Receivable(invoice.account_id), invoice.due),
    ];
    let kind = EntryKind::InvoiceWrittenOff;
    let entry = Entry::new(kind, invoice.account_id, postings).about_invoice(invoice.id);
    book(work, &invoice.currency, vec![entry]).await?;
    let change = BillingChange::InvoiceWrittenOff {
        invoice: invoice.id,
        amount: wire::amount(&invoice.currency, invoice.due),
    };
    work.announce(invoice.patient_id, change);
    Ok(())
}

//! `RejectWriteOff`: what was asked for is not given up, and stays due.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{RejectWriteOffRequest, RejectWriteOffResponse};

use super::invoice::{StoredInvoice, whole};
use crate::service::{
    input,
    refused::{Faults, nobody},
    work::{Change, Stopped, Work},
};

impl Change for RejectWriteOffRequest {
    type Answer = RejectWriteOffResponse;

    const METHOD: &'static str = "RejectWriteOff";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<RejectWriteOffResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.invoice_id));
        let reason = faults.take("reason", input::reason(&self.reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let actor = work.actor().ok_or_else(nobody)?;
        let (_, invoice) = StoredInvoice::lock(work, id, &self.etag).await?;
        if invoice.requested_amount.is_none() {
            let why = "nobody has asked to write the invoice off";
            return Err(invoice
                .refusal(RefusalReason::WriteOffNotRequested, why)
                .into());
        }

        sqlx::query!(
            "UPDATE billing.write_off
             SET state = 'REJECTED', rejected_by = $2, rejected_at = clock_timestamp(),
                 rejection_reason = $3
             WHERE invoice_id = $1 AND state = 'REQUESTED'",
            id,
            actor,
            reason,
        )
        .execute(&mut work.transaction)
        .await?;
        sqlx::query!(
            "UPDATE billing.invoice SET version = version + 1 WHERE id = $1",
            id
        )
        .execute(&mut work.transaction)
        .await?;

        let patient = Some(invoice.patient_id);
        work.record(Action::RejectWriteOff, invoice.resource(), patient);
        let today = work.today();
        Ok(RejectWriteOffResponse {
            invoice: Some(whole(&mut work.transaction, id, today).await?),
        })
    }
}

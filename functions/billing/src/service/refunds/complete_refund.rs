//! `CompleteRefund`: it was paid out.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{CompleteRefundRequest, CompleteRefundResponse};

use events::BillingChange;

use super::refund::{State, StoredRefund};
use crate::service::{
    input,
    ledger::{Entry, EntryKind, LedgerAccount, Posting, book},
    refused::{Faults, nobody},
    wire,
    work::{Change, Stopped, Work},
};

impl Change for CompleteRefundRequest {
    type Answer = CompleteRefundResponse;

    const METHOD: &'static str = "CompleteRefund";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<CompleteRefundResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.refund_id));
        let reference = faults.take("reference", input::reference(&self.reference));
        let (Some(id), Some(reference)) = (id, reference) else {
            return Err(faults.refusal().into());
        };
        let actor = work.actor().ok_or_else(nobody)?;
        let refund = StoredRefund::lock(work, id, &self.etag).await?;
        if refund.state != State::Approved {
            let why = "the refund is not approved, or paid out already";
            return Err(refund.refusal(RefusalReason::RefundNotApproved, why).into());
        }

        sqlx::query!(
            "UPDATE billing.refund
             SET version = version + 1, state = 'COMPLETED', completed_by = $2,
                 completed_at = clock_timestamp(), reference = $3
             WHERE id = $1",
            id,
            actor,
            reference,
        )
        .execute(&mut work.transaction)
        .await?;
        book(work, &refund.currency, vec![paid_out(&refund)]).await?;

        let change = BillingChange::RefundCompleted {
            refund: id,
            payment: refund.payment_id,
            amount: wire::amount(&refund.currency, refund.amount),
            method: refund.method.into(),
        };
        work.announce(refund.patient_id, change);
        let patient = Some(refund.patient_id);
        work.record(Action::CompleteRefund, refund.resource(), patient);
        Ok(CompleteRefundResponse {
            refund: Some(StoredRefund::get(&mut work.transaction, id).await?.into()),
        })
    }
}

fn paid_out(refund: &StoredRefund) -> Entry {
    let postings = vec![
        Posting::debit(LedgerAccount::Credit(refund.account_id), refund.amount),
        Posting::credit(LedgerAccount::Money(refund.method), refund.amount),
    ];
    let mut entry = Entry::new(EntryKind::RefundCompleted, refund.account_id, postings)
        .about_payment(refund.payment_id);
    entry.refund_id = Some(refund.id);
    entry
}

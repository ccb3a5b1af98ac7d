//! `RejectRefund`: it is not paid out, and the payment has its credit again.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{RejectRefundRequest, RejectRefundResponse};

use super::{
    refund::{State, StoredRefund},
    request_refund::reserve,
};
use crate::service::{
    input,
    refused::{Faults, nobody},
    work::{Change, Stopped, Work},
};

impl Change for RejectRefundRequest {
    type Answer = RejectRefundResponse;

    const METHOD: &'static str = "RejectRefund";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<RejectRefundResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.refund_id));
        let reason = faults.take("reason", input::reason(&self.reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let actor = work.actor().ok_or_else(nobody)?;
        let refund = StoredRefund::lock(work, id, &self.etag).await?;
        if matches!(refund.state, State::Rejected | State::Completed) {
            let why = "the refund was rejected or paid out already";
            return Err(refund.refusal(RefusalReason::RefundClosed, why).into());
        }

        sqlx::query!(
            "UPDATE billing.refund
             SET version = version + 1, state = 'REJECTED', rejected_by = $2,
                 rejected_at = clock_timestamp(), rejection_reason = $3
             WHERE id = $1",
            id,
            actor,
            reason,
        )
        .execute(&mut work.transaction)
        .await?;
        reserve(work, refund.payment_id, -refund.amount).await?;

        let patient = Some(refund.patient_id);
        work.record(Action::RejectRefund, refund.resource(), patient);
        Ok(RejectRefundResponse {
            refund: Some(StoredRefund::get(&mut work.transaction, id).await?.into()),
        })
    }
}

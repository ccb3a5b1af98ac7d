//! `ApproveRefund`: it may be paid out. Above the clinic's limit, it has to be approved by
//! someone other than who asked for it.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{ApproveRefundRequest, ApproveRefundResponse};

use super::refund::{State, StoredRefund};
use crate::service::{
    input,
    refused::nobody,
    work::{Change, Stopped, Work},
};

impl Change for ApproveRefundRequest {
    type Answer = ApproveRefundResponse;

    const METHOD: &'static str = "ApproveRefund";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<ApproveRefundResponse, Stopped> {
        let id = input::id_of("id", &self.refund_id)?;
        let actor = work.actor().ok_or_else(nobody)?;
        let refund = StoredRefund::lock(work, id, &self.etag).await?;
        if refund.state != State::Requested {
            let why = "the refund has already been decided";
            return Err(refund
                .refusal(RefusalReason::RefundNotRequested, why)
                .into());
        }
        if refund.second_person_required && refund.requested_by == actor {
            let why = "another person has to approve what you have asked for";
            return Err(refund
                .refusal(RefusalReason::SecondPersonRequired, why)
                .into());
        }

        sqlx::query!(
            "UPDATE billing.refund
             SET version = version + 1, state = 'APPROVED', approved_by = $2,
                 approved_at = clock_timestamp()
             WHERE id = $1",
            id,
            actor,
        )
        .execute(&mut work.transaction)
        .await?;

        let patient = Some(refund.patient_id);
        work.record(Action::ApproveRefund, refund.resource(), patient);
        Ok(ApproveRefundResponse {
            refund: Some(StoredRefund::get(&mut work.transaction, id).await?.into()),
        })
    }
}

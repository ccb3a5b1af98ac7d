//! `ReversePayment`: it never arrived, or bounced. Whatever it was used for is due again.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{ReversePaymentRequest, ReversePaymentResponse};

use events::BillingChange;

use super::payment::{StoredPayment, one};
use crate::service::{
    input,
    ledger::{EntryKind, book, opposite_of},
    refused::Faults,
    settle::{Use, release, uses_of_payment},
    wire,
    work::{Change, Stopped, Work},
};

impl Change for ReversePaymentRequest {
    type Answer = ReversePaymentResponse;

    const METHOD: &'static str = "ReversePayment";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<ReversePaymentResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.payment_id));
        let reason = faults.take("reason", input::reason(&self.reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let (_, payment) = StoredPayment::lock(work, id, &self.etag).await?;
        payment.must_stand()?;
        if payment.refunded > 0 {
            let why = "a refund of the payment is under way, or done";
            return Err(payment.refusal(RefusalReason::PaymentRefunded, why).into());
        }

        let uses = uses_of_payment(work, id).await?;
        release(work, &uses).await?;
        let mut entries: Vec<_> = uses.iter().map(Use::release).collect();
        let (recorded, reversed) = (EntryKind::PaymentRecorded, EntryKind::PaymentReversed);
        if let Some(opposite) = opposite_of(work, recorded, id, reversed).await? {
            entries.push(opposite.about_payment(id));
        }
        book(work, &payment.currency, entries).await?;
        sqlx::query!(
            "UPDATE billing.payment
             SET version = version + 1, state = 'REVERSED', reversed_at = clock_timestamp(),
                 reversed_by = $2, reverse_reason = $3
             WHERE id = $1",
            id,
            work.actor(),
            reason,
        )
        .execute(&mut work.transaction)
        .await?;

        let change = BillingChange::PaymentReversed {
            payment: id,
            amount: wire::amount(&payment.currency, payment.amount),
            method: payment.method.into(),
        };
        work.announce(payment.patient_id, change);
        let patient = Some(payment.patient_id);
        work.record(Action::ReversePayment, payment.resource(), patient);
        Ok(ReversePaymentResponse {
            payment: Some(one(&mut work.transaction, id).await?),
        })
    }
}

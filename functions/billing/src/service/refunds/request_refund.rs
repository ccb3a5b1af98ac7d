//! `RequestRefund`: somebody wants to pay back what is left of a payment.
//!
//! What is asked for is no longer the patient's to use, so that two requests never come to more
//! than there is.

use api::RefusalReason;
use audit_trail::{Action, Resource, ResourceType};
use contracts::billing::v1::{PaymentMethod, RequestRefundRequest, RequestRefundResponse};
use money::Money;
use tonic::Status;
use uuid::Uuid;

use super::refund::StoredRefund;
use crate::service::{
    input,
    method::Method,
    payments::StoredPayment,
    refused::{Faults, invalid, nobody},
    work::{Change, Stopped, Work},
};

impl Change for RequestRefundRequest {
    type Answer = RequestRefundResponse;

    const METHOD: &'static str = "RequestRefund";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<RequestRefundResponse, Stopped> {
        let wanted = Wanted::read(self)?;
        let actor = work.actor().ok_or_else(nobody)?;
        let (_, payment) = StoredPayment::lock(work, wanted.payment, "").await?;
        payment.must_stand()?;
        let amount = wanted.amount_of(&payment)?;
        // With what was refunded of the payment before: nobody gets around the limit in steps.
        let in_all = input::stored_amount(
            &payment.currency,
            payment.refunded.saturating_add(amount.minor_units()),
        )?;

        let id = Uuid::now_v7();
        sqlx::query!(
            "INSERT INTO billing.refund
                 (id, payment_id, amount, method, reason, second_person_required, requested_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id,
            payment.id,
            amount.minor_units(),
            wanted.method.unwrap_or(payment.method).name(),
            wanted.reason,
            work.clinic.needs_two_people(in_all),
            actor,
        )
        .execute(&mut work.transaction)
        .await?;
        reserve(work, payment.id, amount.minor_units()).await?;

        let patient = Some(payment.patient_id);
        let resource = Resource::new(ResourceType::Refund, id);
        work.record(Action::RequestRefund, resource, patient);
        Ok(RequestRefundResponse {
            refund: Some(StoredRefund::get(&mut work.transaction, id).await?.into()),
        })
    }
}

/// Takes so much of a payment's credit, or gives it back.
pub(super) async fn reserve(work: &mut Work, payment: Uuid, amount: i64) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.payment SET version = version + 1, refunded = refunded + $2 WHERE id = $1",
        payment,
        amount,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

struct Wanted {
    payment: Uuid,
    amount: Option<Money>,
    reason: String,
    method: Option<Method>,
}

impl Wanted {
    fn read(request: &RequestRefundRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let payment = faults.take("id", input::id(&request.payment_id));
        let amount = faults.take("amount", input::optional_positive(request.amount.as_ref()));
        let reason = faults.take("reason", input::reason(&request.reason));
        let method = match request.method() {
            PaymentMethod::Unspecified => Some(None),
            method => faults.take("method", Method::try_from(method)).map(Some),
        };
        let (Some(payment), Some(amount), Some(reason), Some(method)) =
            (payment, amount, reason, method)
        else {
            return Err(faults.refusal());
        };
        Ok(Self {
            payment,
            amount,
            reason,
            method,
        })
    }

    fn amount_of(&self, payment: &StoredPayment) -> Result<Money, Status> {
        let credit = input::stored_amount(&payment.currency, payment.credit)?;
        let amount = self.amount.unwrap_or(credit);
        if amount.currency() != credit.currency() {
            return Err(invalid("amount", "Must be in the currency of the payment"));
        }
        if amount.minor_units() > credit.minor_units() || amount.minor_units() == 0 {
            let why = "the amount is more than what is left of the payment";
            return Err(payment.refusal(RefusalReason::CreditExceeded, why));
        }
        Ok(amount)
    }
}

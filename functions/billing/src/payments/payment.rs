//! A payment.

use api::{EntityTag, IfMatch, Problem};
use audit_trail::{Errand, Resource, ResourceType};
use axum::{Json, response::Response};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{etag_for, must_see_owner},
    answer,
    problem::problem,
};

/// What a patient has paid
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f6",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "RECORDED",
    "method": "CARD",
    "amount": { "currency": "EUR", "minorUnits": 10_000 },
    "reference": "CARD-88127",
    "date": "2027-01-18",
    "allocated": { "currency": "EUR", "minorUnits": 7735 },
    "refunded": { "currency": "EUR", "minorUnits": 0 },
    "credit": { "currency": "EUR", "minorUnits": 2265 },
    "allocations": [{
        "invoiceId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
        "invoiceNumber": "2027-000017",
        "amount": { "currency": "EUR", "minorUnits": 7735 }
    }],
    "recordedAt": "2027-01-18T11:30:00.223456Z",
    "recordedBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "reversedAt": null,
    "reversedBy": null,
    "reverseReason": null
}))]
pub(crate) struct Payment {
    /// Identifies the payment; never changes.
    id: Uuid,
    /// Who has paid.
    pub(crate) patient_id: Uuid,
    /// Whether it has arrived.
    state: PaymentState,
    /// How it was paid.
    method: PaymentMethod,
    /// How much was paid.
    amount: Money,
    /// The number of the transfer or of the card's slip.
    #[schema(required)]
    reference: Option<String>,
    /// The day on which it was recorded.
    date: NaiveDate,
    /// What of it is for invoices.
    allocated: Money,
    /// What of it was paid back, or is about to be.
    refunded: Money,
    /// What is left of it: the patient's credit.
    credit: Money,
    /// What it is for, in the order of the invoices' numbers.
    allocations: Vec<Allocation>,
    /// When it was recorded.
    recorded_at: DateTime<Utc>,
    /// Who recorded it.
    #[schema(required)]
    recorded_by: Option<Uuid>,
    /// When it was reversed.
    #[schema(required)]
    reversed_at: Option<DateTime<Utc>>,
    /// Who reversed it.
    #[schema(required)]
    reversed_by: Option<Uuid>,
    /// Why it was reversed.
    #[schema(required)]
    reverse_reason: Option<String>,
    #[serde(skip)]
    version: EntityTag,
}

/// Whether a payment has arrived
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PaymentState {
    /// It has.
    Recorded,
    /// It has not, after all: nothing was paid with it.
    Reversed,
}

/// How money changes hands
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum PaymentMethod {
    /// In coins and notes.
    Cash,
    /// With a card at the desk.
    Card,
    /// From bank to bank.
    Transfer,
}

/// What of a payment is for an invoice
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Allocation {
    /// The invoice.
    invoice_id: Uuid,
    /// Its number.
    invoice_number: String,
    /// How much.
    amount: Money,
}

impl PaymentMethod {
    /// As the service calls it.
    pub(crate) const fn message(self) -> v1::PaymentMethod {
        match self {
            Self::Cash => v1::PaymentMethod::Cash,
            Self::Card => v1::PaymentMethod::Card,
            Self::Transfer => v1::PaymentMethod::Transfer,
        }
    }
}

/// The method in an answer.
pub(crate) fn of_method(method: v1::PaymentMethod) -> Result<PaymentMethod, BillingError> {
    match method {
        v1::PaymentMethod::Cash => Ok(PaymentMethod::Cash),
        v1::PaymentMethod::Card => Ok(PaymentMethod::Card),
        v1::PaymentMethod::Transfer => Ok(PaymentMethod::Transfer),
        v1::PaymentMethod::Unspecified => Err(BillingError::Unreadable("method")),
    }
}

impl TryFrom<v1::Payment> for Payment {
    type Error = BillingError;

    fn try_from(payment: v1::Payment) -> Result<Self, BillingError> {
        let state = match payment.state() {
            v1::PaymentState::Recorded => PaymentState::Recorded,
            v1::PaymentState::Reversed => PaymentState::Reversed,
            v1::PaymentState::Unspecified => return Err(BillingError::Unreadable("state")),
        };
        let method = of_method(payment.method())?;
        let allocations = payment.allocations.into_iter().map(Allocation::try_from);
        Ok(Self {
            id: answer::id("payment_id", &payment.payment_id)?,
            patient_id: answer::id("patient_id", &payment.patient_id)?,
            state,
            method,
            amount: answer::money("amount", payment.amount)?,
            reference: answer::text_if_any(payment.reference),
            date: answer::day("payment_date", &payment.payment_date)?,
            allocated: answer::money("allocated", payment.allocated)?,
            refunded: answer::money("refunded", payment.refunded)?,
            credit: answer::money("credit", payment.credit)?,
            allocations: allocations.collect::<Result<_, _>>()?,
            recorded_at: answer::time("create_time", payment.create_time)?,
            recorded_by: answer::id_if_any("recorded_by", &payment.recorded_by)?,
            reversed_at: answer::time_if_any("reverse_time", payment.reverse_time)?,
            reversed_by: answer::id_if_any("reversed_by", &payment.reversed_by)?,
            reverse_reason: answer::text_if_any(payment.reverse_reason),
            version: answer::version(&payment.etag)?,
        })
    }
}

impl TryFrom<v1::Allocation> for Allocation {
    type Error = BillingError;

    fn try_from(allocation: v1::Allocation) -> Result<Self, BillingError> {
        Ok(Self {
            invoice_id: answer::id("invoice_id", &allocation.invoice_id)?,
            invoice_number: allocation.invoice_number,
            amount: answer::money("amount", allocation.amount)?,
        })
    }
}

/// The payment with this id.
pub(crate) async fn find(billing: &BillingClient, id: Uuid) -> Result<Payment, Problem> {
    let payment_id = id.to_string();
    let request = v1::GetPaymentRequest { payment_id };
    let found = billing.get_payment(request).await.map_err(problem)?;
    answer::required("payment", found.payment)
}

/// The version of the payment that a change is for, as the service reads it: see [`etag_for`].
/// Rejects callers who may not see its patient.
pub(super) async fn etag_of(
    id: Uuid,
    errand: &Errand,
    if_match: &IfMatch,
    database: &PgPool,
    billing: &BillingClient,
) -> Result<String, Problem> {
    let payment = find(billing, id).await?;
    must_see_owner(errand, payment.resource(), payment.patient_id, database).await?;
    Ok(etag_for(if_match))
}

/// The response with the payment as it is after a change.
pub(super) fn changed(
    errand: Errand,
    replayed: bool,
    payment: Option<v1::Payment>,
) -> Result<Response, Problem> {
    let payment: Payment = answer::required("payment", payment)?;
    Ok(errand.done(replayed, (payment.version, Json(payment))))
}

impl Payment {
    /// As the audit trail calls it.
    pub(crate) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Payment, self.id)
    }

    /// Its entity tag.
    pub(super) const fn entity_tag(&self) -> EntityTag {
        self.version
    }
}

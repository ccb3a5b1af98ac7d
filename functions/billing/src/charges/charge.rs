//! A charge.

use api::Problem;
use audit_trail::{Resource, ResourceType};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{answer, problem::problem};

/// Something that a patient is to pay for
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f1",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "BILLABLE",
    "unpricedBecause": null,
    "code": "CONSULT-30",
    "description": "Consultation, 30 minutes",
    "quantity": 1,
    "serviceDate": "2027-01-12",
    "note": "By telephone",
    "unitPrice": { "currency": "EUR", "minorUnits": 6500 },
    "amount": { "currency": "EUR", "minorUnits": 6500 },
    "taxRatePpm": 190_000,
    "invoiceId": null,
    "appointmentId": null,
    "needsCreditNote": false,
    "createdAt": "2027-01-12T09:30:00.223456Z",
    "cancelledAt": null,
    "cancelReason": null
}))]
pub(crate) struct Charge {
    /// Identifies the charge; never changes.
    id: Uuid,
    /// Whom it is for.
    pub(super) patient_id: Uuid,
    /// What became of it.
    state: ChargeState,
    /// Why it is `UNPRICED`; null otherwise.
    #[schema(required)]
    unpriced_because: Option<UnpricedBecause>,
    /// What it is billed as.
    code: String,
    /// What an invoice says; null without a price.
    #[schema(required)]
    description: Option<String>,
    /// How often it was done.
    quantity: u32,
    /// The day on which it was done.
    service_date: NaiveDate,
    /// What somebody has written about it. It is on no invoice.
    #[schema(required)]
    note: Option<String>,
    /// For one of it, on the day on which it was done; null without a price.
    #[schema(required)]
    unit_price: Option<Money>,
    /// For all of it, without tax; null without a price.
    #[schema(required)]
    amount: Option<Money>,
    /// The tax on it in millionths; null without a price.
    #[schema(required)]
    tax_rate_ppm: Option<u32>,
    /// The invoice that it is on, draft or issued.
    #[schema(required)]
    invoice_id: Option<Uuid>,
    /// The appointment that it is for; null if somebody has recorded it.
    #[schema(required)]
    appointment_id: Option<Uuid>,
    /// Whether it is invoiced, and its appointment says something else since: somebody has to credit
    /// it.
    needs_credit_note: bool,
    /// When it was recorded.
    created_at: DateTime<Utc>,
    /// When it was cancelled.
    #[schema(required)]
    cancelled_at: Option<DateTime<Utc>>,
    /// Why it was cancelled, if somebody has said so.
    #[schema(required)]
    cancel_reason: Option<String>,
}

/// What became of a charge
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ChargeState {
    /// It has no price: somebody has to set one.
    Unpriced,
    /// It can be put on an invoice. It may be on a draft.
    Billable,
    /// It is on an invoice that was issued.
    Invoiced,
    /// It does not have to be paid.
    Cancelled,
}

/// Why a charge has no price
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum UnpricedBecause {
    /// Its code had none on that day.
    NoPrice,
    /// The price that its code had on that day is too high: it would come to more than any amount may
    /// be.
    AmountTooLarge,
}

impl UnpricedBecause {
    const fn of(reason: v1::UnpricedReason) -> Option<Self> {
        match reason {
            v1::UnpricedReason::NoPrice => Some(Self::NoPrice),
            v1::UnpricedReason::AmountTooLarge => Some(Self::AmountTooLarge),
            v1::UnpricedReason::Unspecified => None,
        }
    }
}

impl ChargeState {
    /// As the service calls it.
    pub(super) const fn message(self) -> v1::ChargeState {
        match self {
            Self::Unpriced => v1::ChargeState::Unpriced,
            Self::Billable => v1::ChargeState::Billable,
            Self::Invoiced => v1::ChargeState::Invoiced,
            Self::Cancelled => v1::ChargeState::Cancelled,
        }
    }

    const fn of(state: v1::ChargeState) -> Option<Self> {
        match state {
            v1::ChargeState::Unpriced => Some(Self::Unpriced),
            v1::ChargeState::Billable => Some(Self::Billable),
            v1::ChargeState::Invoiced => Some(Self::Invoiced),
            v1::ChargeState::Cancelled => Some(Self::Cancelled),
            v1::ChargeState::Unspecified => None,
        }
    }
}

impl TryFrom<v1::Charge> for Charge {
    type Error = BillingError;

    fn try_from(charge: v1::Charge) -> Result<Self, BillingError> {
        let state = ChargeState::of(charge.state());
        let unpriced_because = UnpricedBecause::of(charge.unpriced_reason());
        let unit_price = answer::money_if_any("unit_price", charge.unit_price)?;
        Ok(Self {
            id: answer::id("charge_id", &charge.charge_id)?,
            patient_id: answer::id("patient_id", &charge.patient_id)?,
            state: state.ok_or(BillingError::Unreadable("state"))?,
            unpriced_because,
            code: charge.code,
            description: answer::text_if_any(charge.description),
            quantity: charge.quantity,
            service_date: answer::day("service_date", &charge.service_date)?,
            note: answer::text_if_any(charge.note),
            unit_price,
            amount: answer::money_if_any("amount", charge.amount)?,
            tax_rate_ppm: unit_price.is_some().then_some(charge.tax_rate_ppm),
            invoice_id: answer::id_if_any("invoice_id", &charge.invoice_id)?,
            appointment_id: answer::id_if_any("appointment_id", &charge.appointment_id)?,
            needs_credit_note: charge.needs_credit_note,
            created_at: answer::time("create_time", charge.create_time)?,
            cancelled_at: answer::time_if_any("cancel_time", charge.cancel_time)?,
            cancel_reason: answer::text_if_any(charge.cancel_reason),
        })
    }
}

/// The charge with this id.
pub(super) async fn find(billing: &BillingClient, id: Uuid) -> Result<Charge, Problem> {
    let charge_id = id.to_string();
    let request = v1::GetChargeRequest { charge_id };
    let found = billing.get_charge(request).await.map_err(problem)?;
    answer::required("charge", found.charge)
}

impl Charge {
    /// As the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Charge, self.id)
    }
}

//! A price.

use audit_trail::{Resource, ResourceType};
use billing_client::BillingError;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;

/// What something costs from a day on
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f0",
    "code": "CONSULT-30",
    "description": "Consultation, 30 minutes",
    "amount": { "currency": "EUR", "minorUnits": 6500 },
    "taxRatePpm": 190_000,
    "validFrom": "2027-01-01",
    "createdAt": "2026-11-30T09:30:00.223456Z"
}))]
pub(crate) struct Price {
    /// Identifies the price; never changes.
    id: Uuid,
    /// What it is the price of: a service's code in the schedule.
    code: String,
    /// What an invoice says.
    description: String,
    /// For one of it, without tax.
    amount: Money,
    /// The tax on it in millionths: 190000 is 19 %.
    tax_rate_ppm: u32,
    /// The first day on which it holds.
    valid_from: NaiveDate,
    /// When it was set.
    created_at: DateTime<Utc>,
}

impl Price {
    /// As the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Price, self.id)
    }
}

impl TryFrom<v1::Price> for Price {
    type Error = BillingError;

    fn try_from(price: v1::Price) -> Result<Self, BillingError> {
        Ok(Self {
            id: answer::id("price_id", &price.price_id)?,
            code: price.code,
            description: price.description,
            amount: answer::money("amount", price.amount)?,
            tax_rate_ppm: price.tax_rate_ppm,
            valid_from: answer::day("valid_from", &price.valid_from)?,
            created_at: answer::time("create_time", price.create_time)?,
        })
    }
}

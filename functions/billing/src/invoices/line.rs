//! The lines of an invoice, and their tax.

use billing_client::BillingError;
use chrono::NaiveDate;
use contracts::billing::v1;
use money::{InvalidTaxRate, Money, TaxRate};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;

/// A line of an invoice
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvoiceLine {
    /// Identifies the line.
    id: Uuid,
    /// The charge that it is about.
    charge_id: Uuid,
    /// What it is billed as.
    code: String,
    /// What it says.
    description: String,
    /// The day on which it was done.
    service_date: NaiveDate,
    /// How often it was done.
    quantity: u32,
    /// For one of it, without tax.
    unit_price: Money,
    /// What is taken off the price of all of it.
    discount: Money,
    /// Without tax.
    net: Money,
    /// The tax on it in millionths.
    tax_rate_ppm: u32,
    /// The tax, rounded half up, once.
    tax: Money,
    /// With tax.
    total: Money,
    /// What of the total was credited.
    credited: Money,
}

impl InvoiceLine {
    /// As a document shows it.
    pub(super) fn printed(&self) -> Result<documents::InvoiceLine, InvalidTaxRate> {
        Ok(documents::InvoiceLine {
            service_date: self.service_date,
            code: self.code.clone(),
            description: self.description.clone(),
            quantity: self.quantity,
            unit_price: self.unit_price,
            discount: self.discount,
            net: self.net,
            tax_rate: TaxRate::ppm(self.tax_rate_ppm)?,
        })
    }
}

impl TryFrom<v1::InvoiceLine> for InvoiceLine {
    type Error = BillingError;

    fn try_from(line: v1::InvoiceLine) -> Result<Self, BillingError> {
        Ok(Self {
            id: answer::id("line_id", &line.line_id)?,
            charge_id: answer::id("charge_id", &line.charge_id)?,
            code: line.code,
            description: line.description,
            service_date: answer::day("service_date", &line.service_date)?,
            quantity: line.quantity,
            unit_price: answer::money("unit_price", line.unit_price)?,
            discount: answer::money("discount", line.discount)?,
            net: answer::money("net", line.net)?,
            tax_rate_ppm: line.tax_rate_ppm,
            tax: answer::money("tax", line.tax)?,
            total: answer::money("total", line.total)?,
            credited: answer::money("credited", line.credited)?,
        })
    }
}

/// The lines with one rate of tax, together
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaxTotal {
    /// The rate in millionths.
    tax_rate_ppm: u32,
    /// Without tax.
    net: Money,
    /// The tax.
    tax: Money,
}

impl TaxTotal {
    /// As a document shows it.
    pub(super) fn printed(&self) -> Result<documents::TaxTotal, InvalidTaxRate> {
        Ok(documents::TaxTotal {
            rate: TaxRate::ppm(self.tax_rate_ppm)?,
            net: self.net,
            tax: self.tax,
        })
    }
}

impl TryFrom<v1::TaxTotal> for TaxTotal {
    type Error = BillingError;

    fn try_from(total: v1::TaxTotal) -> Result<Self, BillingError> {
        Ok(Self {
            tax_rate_ppm: total.tax_rate_ppm,
            net: answer::money("net", total.net)?,
            tax: answer::money("tax", total.tax)?,
        })
    }
}

//! A credit note.

use billing_client::BillingError;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer;

/// What of an invoice does not have to be paid
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f5",
    "number": "CN-2027-000003",
    "issueDate": "2027-01-20",
    "net": { "currency": "EUR", "minorUnits": 1000 },
    "tax": { "currency": "EUR", "minorUnits": 190 },
    "total": { "currency": "EUR", "minorUnits": 1190 },
    "reason": "Shorter than agreed",
    "lines": [{
        "lineId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f3",
        "net": { "currency": "EUR", "minorUnits": 1000 },
        "tax": { "currency": "EUR", "minorUnits": 190 },
        "total": { "currency": "EUR", "minorUnits": 1190 }
    }],
    "issuedAt": "2027-01-20T10:00:00.223456Z",
    "issuedBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab"
}))]
pub(crate) struct CreditNote {
    /// Identifies the credit note.
    id: Uuid,
    /// Its number, without a gap in its series.
    number: String,
    /// The day on which it was issued.
    issue_date: NaiveDate,
    /// Without tax.
    net: Money,
    /// The tax.
    tax: Money,
    /// With tax.
    total: Money,
    /// Why it was issued.
    reason: String,
    /// How it is divided among the lines of the invoice.
    lines: Vec<CreditNoteLine>,
    /// When it was issued.
    issued_at: DateTime<Utc>,
    /// Who issued it.
    #[schema(required)]
    issued_by: Option<Uuid>,
}

/// What of a line is credited
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditNoteLine {
    /// The line of the invoice.
    line_id: Uuid,
    /// Without tax.
    net: Money,
    /// The tax.
    tax: Money,
    /// With tax.
    total: Money,
}

impl TryFrom<v1::CreditNote> for CreditNote {
    type Error = BillingError;

    fn try_from(note: v1::CreditNote) -> Result<Self, BillingError> {
        let lines = note.lines.into_iter().map(CreditNoteLine::try_from);
        Ok(Self {
            id: answer::id("credit_note_id", &note.credit_note_id)?,
            number: note.number,
            issue_date: answer::day("issue_date", &note.issue_date)?,
            net: answer::money("net", note.net)?,
            tax: answer::money("tax", note.tax)?,
            total: answer::money("total", note.total)?,
            reason: note.reason,
            lines: lines.collect::<Result<_, _>>()?,
            issued_at: answer::time("issue_time", note.issue_time)?,
            issued_by: answer::id_if_any("issued_by", &note.issued_by)?,
        })
    }
}

impl TryFrom<v1::CreditNoteLine> for CreditNoteLine {
    type Error = BillingError;

    fn try_from(line: v1::CreditNoteLine) -> Result<Self, BillingError> {
        Ok(Self {
            line_id: answer::id("line_id", &line.line_id)?,
            net: answer::money("net", line.net)?,
            tax: answer::money("tax", line.tax)?,
            total: answer::money("total", line.total)?,
        })
    }
}

//! Invoices in lists.

use api::Problem;
use billing_client::BillingError;
use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1;
use money::Money;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::invoice::InvoiceState;
use crate::{answer, page, problem::problem};

/// A page of invoices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvoiceList {
    pub(super) invoices: Vec<InvoiceSummary>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An invoice without its lines
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "ISSUED",
    "number": "2027-000017",
    "total": { "currency": "EUR", "minorUnits": 7735 },
    "due": { "currency": "EUR", "minorUnits": 7735 },
    "issueDate": "2027-01-15",
    "dueDate": "2027-02-14",
    "overdue": false,
    "createdAt": "2027-01-15T09:00:00.223456Z"
}))]
pub(crate) struct InvoiceSummary {
    /// Identifies the invoice; never changes.
    id: Uuid,
    /// Whose it is.
    pub(super) patient_id: Uuid,
    /// What became of it.
    state: InvoiceState,
    /// Its number; null for a draft.
    #[schema(required)]
    number: Option<String>,
    /// What it is about, with tax.
    total: Money,
    /// What still has to be paid.
    due: Money,
    /// The day on which it was issued; null for a draft.
    #[schema(required)]
    issue_date: Option<NaiveDate>,
    /// The day by which it has to be paid; null for a draft.
    #[schema(required)]
    due_date: Option<NaiveDate>,
    /// Whether something is due, and that day is over.
    overdue: bool,
    /// When it was drafted.
    created_at: DateTime<Utc>,
}

impl InvoiceList {
    pub(super) fn of(listed: v1::ListInvoicesResponse) -> Result<Self, Problem> {
        let invoices = listed.invoices.into_iter().map(InvoiceSummary::try_from);
        Ok(Self {
            invoices: invoices.collect::<Result<_, _>>().map_err(problem)?,
            next_cursor: page::next_cursor(listed.next_page_token),
        })
    }
}

impl TryFrom<v1::Invoice> for InvoiceSummary {
    type Error = BillingError;

    fn try_from(invoice: v1::Invoice) -> Result<Self, BillingError> {
        let state = InvoiceState::of(invoice.state());
        Ok(Self {
            id: answer::id("invoice_id", &invoice.invoice_id)?,
            patient_id: answer::id("patient_id", &invoice.patient_id)?,
            state: state.ok_or(BillingError::Unreadable("state"))?,
            number: answer::text_if_any(invoice.number),
            total: answer::money("total", invoice.total)?,
            due: answer::money("due", invoice.due)?,
            issue_date: answer::day_if_any("issue_date", &invoice.issue_date)?,
            due_date: answer::day_if_any("due_date", &invoice.due_date)?,
            overdue: invoice.overdue,
            created_at: answer::time("create_time", invoice.create_time)?,
        })
    }
}

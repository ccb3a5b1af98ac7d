//! An invoice.

mod printed;

pub(crate) use printed::Printed;

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

use super::{
    credit_note::CreditNote,
    line::{InvoiceLine, TaxTotal},
};
use crate::{
    access::{etag_for, must_see_owner},
    answer,
    problem::problem,
};

/// What a patient is asked to pay
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f2",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "ISSUED",
    "number": "2027-000017",
    "lines": [{
        "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f3",
        "chargeId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f1",
        "code": "CONSULT-30",
        "description": "Consultation, 30 minutes",
        "serviceDate": "2027-01-12",
        "quantity": 1,
        "unitPrice": { "currency": "EUR", "minorUnits": 6500 },
        "discount": { "currency": "EUR", "minorUnits": 0 },
        "net": { "currency": "EUR", "minorUnits": 6500 },
        "taxRatePpm": 190_000,
        "tax": { "currency": "EUR", "minorUnits": 1235 },
        "total": { "currency": "EUR", "minorUnits": 7735 },
        "credited": { "currency": "EUR", "minorUnits": 0 }
    }],
    "taxes": [{
        "taxRatePpm": 190_000,
        "net": { "currency": "EUR", "minorUnits": 6500 },
        "tax": { "currency": "EUR", "minorUnits": 1235 }
    }],
    "net": { "currency": "EUR", "minorUnits": 6500 },
    "tax": { "currency": "EUR", "minorUnits": 1235 },
    "total": { "currency": "EUR", "minorUnits": 7735 },
    "allocated": { "currency": "EUR", "minorUnits": 0 },
    "credited": { "currency": "EUR", "minorUnits": 0 },
    "writtenOff": { "currency": "EUR", "minorUnits": 0 },
    "due": { "currency": "EUR", "minorUnits": 7735 },
    "issueDate": "2027-01-15",
    "dueDate": "2027-02-14",
    "overdue": false,
    "billedTo": {
        "name": "Milo Feil", "email": "milo.feil@clinic.example", "address": "422 Farrell Path"
    },
    "creditNotes": [],
    "writeOffRequest": null,
    "createdAt": "2027-01-15T09:00:00.223456Z",
    "createdBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "issuedAt": "2027-01-15T09:30:00.223456Z",
    "issuedBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "voidedAt": null,
    "voidedBy": null,
    "writtenOffAt": null,
    "writtenOffBy": null,
    "reason": null
}))]
pub(crate) struct Invoice {
    /// Identifies the invoice; never changes.
    id: Uuid,
    /// Whose it is.
    pub(super) patient_id: Uuid,
    /// What became of it. Whether it is paid is what is `due`.
    state: InvoiceState,
    /// Its number, without a gap in its series; null for a draft.
    #[schema(required)]
    number: Option<String>,
    /// What it is for.
    lines: Vec<InvoiceLine>,
    /// The sums of the lines by rate of tax.
    taxes: Vec<TaxTotal>,
    /// The sum of the lines without tax.
    net: Money,
    /// The sum of their tax.
    tax: Money,
    /// The sum of both.
    total: Money,
    /// What was paid of it.
    allocated: Money,
    /// What does not have to be paid, by credit notes.
    credited: Money,
    /// What was given up.
    written_off: Money,
    /// What still has to be paid; 0 for a draft and a void one.
    due: Money,
    /// The day on which it was issued; null for a draft.
    #[schema(required)]
    issue_date: Option<NaiveDate>,
    /// The day by which it has to be paid; null for a draft.
    #[schema(required)]
    due_date: Option<NaiveDate>,
    /// Whether something is due, and that day is over.
    overdue: bool,
    /// Who it was issued to, as known then; for a draft, as known now. Null if nothing is known.
    #[schema(required)]
    billed_to: Option<BilledTo>,
    /// What was credited of it.
    credit_notes: Vec<CreditNote>,
    /// That somebody has asked to write it off, which another person has to do.
    #[schema(required)]
    write_off_request: Option<WriteOffRequest>,
    /// When it was drafted.
    created_at: DateTime<Utc>,
    /// Who drafted it.
    #[schema(required)]
    created_by: Option<Uuid>,
    /// When it was issued.
    #[schema(required)]
    issued_at: Option<DateTime<Utc>>,
    /// Who issued it.
    #[schema(required)]
    issued_by: Option<Uuid>,
    /// When it was voided.
    #[schema(required)]
    voided_at: Option<DateTime<Utc>>,
    /// Who voided it.
    #[schema(required)]
    voided_by: Option<Uuid>,
    /// When it was written off.
    #[schema(required)]
    written_off_at: Option<DateTime<Utc>>,
    /// Who wrote it off: of two people, the second.
    #[schema(required)]
    written_off_by: Option<Uuid>,
    /// Why it was voided or written off.
    #[schema(required)]
    reason: Option<String>,
    #[serde(skip)]
    version: EntityTag,
}

/// What became of an invoice
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum InvoiceState {
    /// It can be changed, and asks for nothing yet.
    Draft,
    /// It asks for what is due, and is never changed.
    Issued,
    /// It was taken back, as if it had not been issued. It keeps its number.
    Void,
    /// What was due was given up.
    WrittenOff,
}

/// Who an invoice was issued to
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BilledTo {
    /// The patient's name.
    name: String,
    /// Their e-mail address.
    #[schema(required)]
    email: Option<String>,
    /// Their postal address, in lines.
    #[schema(required)]
    address: Option<String>,
}

/// That what is due is to be given up
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WriteOffRequest {
    /// What was due then.
    amount: Money,
    /// Why.
    reason: String,
    /// Who asks for it. It takes another person to do it.
    #[schema(required)]
    requested_by: Option<Uuid>,
    /// When they asked for it.
    requested_at: DateTime<Utc>,
}

impl InvoiceState {
    /// As the service calls it.
    pub(super) const fn message(self) -> v1::InvoiceState {
        match self {
            Self::Draft => v1::InvoiceState::Draft,
            Self::Issued => v1::InvoiceState::Issued,
            Self::Void => v1::InvoiceState::Void,
            Self::WrittenOff => v1::InvoiceState::WrittenOff,
        }
    }

    /// The state in an answer.
    pub(super) const fn of(state: v1::InvoiceState) -> Option<Self> {
        match state {
            v1::InvoiceState::Draft => Some(Self::Draft),
            v1::InvoiceState::Issued => Some(Self::Issued),
            v1::InvoiceState::Void => Some(Self::Void),
            v1::InvoiceState::WrittenOff => Some(Self::WrittenOff),
            v1::InvoiceState::Unspecified => None,
        }
    }
}

impl TryFrom<v1::Invoice> for Invoice {
    type Error = BillingError;

    fn try_from(invoice: v1::Invoice) -> Result<Self, BillingError> {
        let state = InvoiceState::of(invoice.state());
        let lines = invoice.lines.into_iter().map(InvoiceLine::try_from);
        let taxes = invoice.taxes.into_iter().map(TaxTotal::try_from);
        let credit_notes = invoice.credit_notes.into_iter().map(CreditNote::try_from);
        let write_off_request = invoice.write_off_request.map(WriteOffRequest::try_from);
        Ok(Self {
            id: answer::id("invoice_id", &invoice.invoice_id)?,
            patient_id: answer::id("patient_id", &invoice.patient_id)?,
            state: state.ok_or(BillingError::Unreadable("state"))?,
            number: answer::text_if_any(invoice.number),
            lines: lines.collect::<Result<_, _>>()?,
            taxes: taxes.collect::<Result<_, _>>()?,
            net: answer::money("net", invoice.net)?,
            tax: answer::money("tax", invoice.tax)?,
            total: answer::money("total", invoice.total)?,
            allocated: answer::money("allocated", invoice.allocated)?,
            credited: answer::money("credited", invoice.credited)?,
            written_off: answer::money("written_off", invoice.written_off)?,
            due: answer::money("due", invoice.due)?,
            issue_date: answer::day_if_any("issue_date", &invoice.issue_date)?,
            due_date: answer::day_if_any("due_date", &invoice.due_date)?,
            overdue: invoice.overdue,
            billed_to: invoice.billed_to.map(BilledTo::from),
            credit_notes: credit_notes.collect::<Result<_, _>>()?,
            write_off_request: write_off_request.transpose()?,
            created_at: answer::time("create_time", invoice.create_time)?,
            created_by: answer::id_if_any("created_by", &invoice.created_by)?,
            issued_at: answer::time_if_any("issue_time", invoice.issue_time)?,
            issued_by: answer::id_if_any("issued_by", &invoice.issued_by)?,
            voided_at: answer::time_if_any("void_time", invoice.void_time)?,
            voided_by: answer::id_if_any("voided_by", &invoice.voided_by)?,
            written_off_at: answer::time_if_any("write_off_time", invoice.write_off_time)?,
            written_off_by: answer::id_if_any("written_off_by", &invoice.written_off_by)?,
            reason: answer::text_if_any(invoice.reason),
            version: answer::version(&invoice.etag)?,
        })
    }
}

impl From<v1::BilledTo> for BilledTo {
    fn from(billed_to: v1::BilledTo) -> Self {
        Self {
            name: billed_to.name,
            email: answer::text_if_any(billed_to.email),
            address: answer::text_if_any(billed_to.address),
        }
    }
}

impl TryFrom<v1::WriteOffRequest> for WriteOffRequest {
    type Error = BillingError;

    fn try_from(request: v1::WriteOffRequest) -> Result<Self, BillingError> {
        Ok(Self {
            amount: answer::money("amount", request.amount)?,
            reason: request.reason,
            requested_by: answer::id_if_any("requested_by", &request.requested_by)?,
            requested_at: answer::time("request_time", request.request_time)?,
        })
    }
}

/// The invoice with this id.
pub(super) async fn find(billing: &BillingClient, id: Uuid) -> Result<Invoice, Problem> {
    let invoice_id = id.to_string();
    let request = v1::GetInvoiceRequest { invoice_id };
    let found = billing.get_invoice(request).await.map_err(problem)?;
    answer::required("invoice", found.invoice)
}

/// The version of the invoice that a change is for, as the service reads it: see [`etag_for`].
/// Rejects callers who may not see its patient.
pub(super) async fn etag_of(
    id: Uuid,
    errand: &Errand,
    if_match: &IfMatch,
    database: &PgPool,
    billing: &BillingClient,
) -> Result<String, Problem> {
    let invoice = find(billing, id).await?;
    must_see_owner(errand, invoice.resource(), invoice.patient_id, database).await?;
    Ok(etag_for(if_match))
}

/// The response with the invoice as it is after a change.
pub(super) fn changed(
    errand: Errand,
    replayed: bool,
    invoice: Option<v1::Invoice>,
) -> Result<Response, Problem> {
    let invoice: Invoice = answer::required("invoice", invoice)?;
    Ok(errand.done(replayed, (invoice.version, Json(invoice))))
}

impl Invoice {
    /// As the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Invoice, self.id)
    }

    /// Its entity tag.
    pub(super) const fn entity_tag(&self) -> EntityTag {
        self.version
    }

    /// Its id.
    pub(super) const fn id(&self) -> Uuid {
        self.id
    }
}

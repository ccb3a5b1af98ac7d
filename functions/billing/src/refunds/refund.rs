//! A refund.
//!
//! ```text
//!   REQUESTED ──approval──> APPROVED ──completion──> COMPLETED
//!       │                      │
//!       └──────rejection───────┴──> REJECTED
//! ```

use api::{EntityTag, IfMatch, Problem};
use audit_trail::{Errand, Resource, ResourceType};
use axum::{Json, response::Response};
use billing_client::{BillingClient, BillingError};
use chrono::{DateTime, Utc};
use contracts::billing::v1;
use money::Money;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    access::{etag_for, must_see_owner},
    answer,
    payments::{PaymentMethod, of_method},
    problem::problem,
};

/// What is paid back of a payment
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f8",
    "paymentId": "0199f7a2-6d02-7a11-8f0e-5b1c7a90d3f6",
    "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "state": "REQUESTED",
    "amount": { "currency": "EUR", "minorUnits": 2265 },
    "method": "TRANSFER",
    "reason": "Paid more than was due",
    "reference": null,
    "secondPersonRequired": false,
    "requestedAt": "2027-01-19T08:15:00.223456Z",
    "requestedBy": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ab",
    "approvedAt": null,
    "approvedBy": null,
    "rejectedAt": null,
    "rejectedBy": null,
    "rejectionReason": null,
    "completedAt": null,
    "completedBy": null
}))]
pub(crate) struct Refund {
    /// Identifies the refund; never changes.
    id: Uuid,
    /// The payment that it is of.
    payment_id: Uuid,
    /// Who gets it.
    pub(super) patient_id: Uuid,
    /// How far it is.
    state: RefundState,
    /// How much is paid back.
    amount: Money,
    /// How it is paid back.
    method: PaymentMethod,
    /// Why it is paid back; empty once the patient is erased.
    reason: String,
    /// The number of the transfer or slip, once it is completed.
    #[schema(required)]
    reference: Option<String>,
    /// Whether somebody other than the person who asked has to approve it: with what was refunded of
    /// the payment before, it is above the clinic's limit, or it is in another currency than the
    /// clinic's.
    second_person_required: bool,
    /// When somebody asked for it.
    requested_at: DateTime<Utc>,
    /// Who asked for it.
    #[schema(required)]
    requested_by: Option<Uuid>,
    /// When it was approved.
    #[schema(required)]
    approved_at: Option<DateTime<Utc>>,
    /// Who approved it.
    #[schema(required)]
    approved_by: Option<Uuid>,
    /// When it was rejected.
    #[schema(required)]
    rejected_at: Option<DateTime<Utc>>,
    /// Who rejected it.
    #[schema(required)]
    rejected_by: Option<Uuid>,
    /// Why it was rejected.
    #[schema(required)]
    rejection_reason: Option<String>,
    /// When it was paid out.
    #[schema(required)]
    completed_at: Option<DateTime<Utc>>,
    /// Who paid it out.
    #[schema(required)]
    completed_by: Option<Uuid>,
    #[serde(skip)]
    version: EntityTag,
}

/// How far a refund is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RefundState {
    /// Somebody has asked for it. What it takes is no credit any more.
    Requested,
    /// It may be paid out.
    Approved,
    /// It is not paid out; the payment has its credit back.
    Rejected,
    /// It was paid out.
    Completed,
}

impl RefundState {
    /// As the service calls it.
    pub(super) const fn message(self) -> v1::RefundState {
        match self {
            Self::Requested => v1::RefundState::Requested,
            Self::Approved => v1::RefundState::Approved,
            Self::Rejected => v1::RefundState::Rejected,
            Self::Completed => v1::RefundState::Completed,
        }
    }
}

impl TryFrom<v1::Refund> for Refund {
    type Error = BillingError;

    fn try_from(refund: v1::Refund) -> Result<Self, BillingError> {
        let state = match refund.state() {
            v1::RefundState::Requested => RefundState::Requested,
            v1::RefundState::Approved => RefundState::Approved,
            v1::RefundState::Rejected => RefundState::Rejected,
            v1::RefundState::Completed => RefundState::Completed,
            v1::RefundState::Unspecified => return Err(BillingError::Unreadable("state")),
        };
        let method = of_method(refund.method())?;
        Ok(Self {
            id: answer::id("refund_id", &refund.refund_id)?,
            payment_id: answer::id("payment_id", &refund.payment_id)?,
            patient_id: answer::id("patient_id", &refund.patient_id)?,
            state,
            amount: answer::money("amount", refund.amount)?,
            method,
            reason: refund.reason,
            reference: answer::text_if_any(refund.reference),
            second_person_required: refund.second_person_required,
            requested_at: answer::time("request_time", refund.request_time)?,
            requested_by: answer::id_if_any("requested_by", &refund.requested_by)?,
            approved_at: answer::time_if_any("approve_time", refund.approve_time)?,
            approved_by: answer::id_if_any("approved_by", &refund.approved_by)?,
            rejected_at: answer::time_if_any("reject_time", refund.reject_time)?,
            rejected_by: answer::id_if_any("rejected_by", &refund.rejected_by)?,
            rejection_reason: answer::text_if_any(refund.rejection_reason),
            completed_at: answer::time_if_any("complete_time", refund.complete_time)?,
            completed_by: answer::id_if_any("completed_by", &refund.completed_by)?,
            version: answer::version(&refund.etag)?,
        })
    }
}

/// The refund with this id.
pub(super) async fn find(billing: &BillingClient, id: Uuid) -> Result<Refund, Problem> {
    let refund_id = id.to_string();
    let request = v1::GetRefundRequest { refund_id };
    let found = billing.get_refund(request).await.map_err(problem)?;
    answer::required("refund", found.refund)
}

/// The version of the refund that a change is for, as the service reads it: see [`etag_for`].
/// Rejects callers who may not see its patient.
pub(super) async fn etag_of(
    id: Uuid,
    errand: &Errand,
    if_match: &IfMatch,
    database: &PgPool,
    billing: &BillingClient,
) -> Result<String, Problem> {
    let refund = find(billing, id).await?;
    must_see_owner(errand, refund.resource(), refund.patient_id, database).await?;
    Ok(etag_for(if_match))
}

/// The response with the refund as it is after a change.
pub(super) fn changed(
    errand: Errand,
    replayed: bool,
    refund: Option<v1::Refund>,
) -> Result<Response, Problem> {
    let refund: Refund = answer::required("refund", refund)?;
    Ok(errand.done(replayed, (refund.version, Json(refund))))
}

impl Refund {
    /// As the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Refund, self.id)
    }

    /// Its entity tag.
    pub(super) const fn entity_tag(&self) -> EntityTag {
        self.version
    }
}

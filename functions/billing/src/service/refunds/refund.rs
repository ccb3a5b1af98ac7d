//! A refund as it is stored and as it is returned.

use api::RefusalReason;
use audit_trail::{Resource, ResourceType};
use chrono::{DateTime, Utc};
use contracts::billing::v1::{PaymentMethod, Refund, RefundState};
use store::Transaction;
use tonic::Status;
use uuid::Uuid;

use crate::service::{
    input::{check_etag, etag},
    method::Method,
    party::Matter,
    refused::{not_found, not_now},
    wire,
    work::{Stopped, Work},
};

/// The state of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(super) enum State {
    Requested,
    Approved,
    Rejected,
    Completed,
}

impl From<State> for RefundState {
    fn from(state: State) -> Self {
        match state {
            State::Requested => Self::Requested,
            State::Approved => Self::Approved,
            State::Rejected => Self::Rejected,
            State::Completed => Self::Completed,
        }
    }
}

/// The state of a refund in a request, by its name in the database; none if it is unspecified.
pub(super) fn state_name(state: RefundState) -> Option<&'static str> {
    match state {
        RefundState::Unspecified => None,
        RefundState::Requested => Some("REQUESTED"),
        RefundState::Approved => Some("APPROVED"),
        RefundState::Rejected => Some("REJECTED"),
        RefundState::Completed => Some("COMPLETED"),
    }
}

/// A row of `billing.refund`, with what is known of its payment.
#[derive(Debug, Clone)]
pub(super) struct StoredRefund {
    pub(super) id: Uuid,
    pub(super) payment_id: Uuid,
    pub(super) account_id: Uuid,
    pub(super) patient_id: Uuid,
    pub(super) currency: String,
    pub(super) version: i64,
    pub(super) state: State,
    pub(super) amount: i64,
    pub(super) method: Method,
    pub(super) reason: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) second_person_required: bool,
    pub(super) requested_by: Uuid,
    pub(super) approved_by: Option<Uuid>,
    pub(super) rejected_by: Option<Uuid>,
    pub(super) completed_by: Option<Uuid>,
    pub(super) rejection_reason: Option<String>,
    pub(super) requested_at: DateTime<Utc>,
    pub(super) approved_at: Option<DateTime<Utc>>,
    pub(super) rejected_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
}

/// The refunds with these ids, the newest first.
pub(super) async fn find(
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<Vec<StoredRefund>, sqlx::Error> {
    sqlx::query_as!(
        StoredRefund,
        r#"SELECT refund.id, refund.payment_id, payment.account_id, account.patient_id,
                  payment.currency, refund.version, refund.state AS "state: State", refund.amount,
                  refund.method AS "method: Method", refund.reason, refund.reference,
                  refund.second_person_required, refund.requested_by, refund.approved_by,
                  refund.rejected_by, refund.completed_by, refund.rejection_reason,
                  refund.requested_at, refund.approved_at, refund.rejected_at, refund.completed_at
           FROM billing.refund
           JOIN billing.payment ON payment.id = refund.payment_id
           JOIN billing.account ON account.id = payment.account_id
           WHERE refund.id = ANY($1)
           ORDER BY refund.id DESC"#,
        ids,
    )
    .fetch_all(transaction)
    .await
}

impl StoredRefund {
    /// Locks the patient of a refund, and answers the refund.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such refund, `ABORTED` if its etag is another.
    pub(super) async fn lock(work: &mut Work, id: Uuid, etag: &str) -> Result<Self, Stopped> {
        let party = work.lock_matter(Matter::Refund(id)).await?;
        party.ok_or_else(|| not_found("refund"))?;
        let refund = Self::get(&mut work.transaction, id).await?;
        check_etag(etag, refund.version)?;
        Ok(refund)
    }

    /// The refund with this id.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none.
    pub(super) async fn get(transaction: &mut Transaction, id: Uuid) -> Result<Self, Stopped> {
        let found = find(transaction, &[id]).await?.into_iter().next();
        Ok(found.ok_or_else(|| not_found("refund"))?)
    }

    /// The refusal of what cannot be done with it now.
    pub(super) fn refusal(&self, reason: RefusalReason, why: &str) -> Status {
        not_now(reason, format_args!("refund {}", self.id), why)
    }

    /// What the audit trail calls it.
    pub(super) const fn resource(&self) -> Resource {
        Resource::new(ResourceType::Refund, self.id)
    }
}

impl From<StoredRefund> for Refund {
    fn from(refund: StoredRefund) -> Self {
        Self {
            refund_id: refund.id.to_string(),
            payment_id: refund.payment_id.to_string(),
            patient_id: refund.patient_id.to_string(),
            state: RefundState::from(refund.state).into(),
            etag: etag(refund.version),
            amount: Some(wire::money(&refund.currency, refund.amount)),
            method: PaymentMethod::from(refund.method).into(),
            reason: refund.reason.unwrap_or_default(),
            reference: refund.reference.unwrap_or_default(),
            requested_by: refund.requested_by.to_string(),
            approved_by: wire::id(refund.approved_by),
            rejected_by: wire::id(refund.rejected_by),
            completed_by: wire::id(refund.completed_by),
            rejection_reason: refund.rejection_reason.unwrap_or_default(),
            request_time: Some(wire::time(refund.requested_at)),
            approve_time: refund.approved_at.map(wire::time),
            reject_time: refund.rejected_at.map(wire::time),
            complete_time: refund.completed_at.map(wire::time),
            second_person_required: refund.second_person_required,
        }
    }
}

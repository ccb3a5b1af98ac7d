//! `CancelCharge`: it was not done after all, or not to be paid for.

use api::RefusalReason;
use audit_trail::{Action, Resource, ResourceType};
use contracts::billing::v1::{CancelChargeRequest, CancelChargeResponse};
use uuid::Uuid;

use super::charge::{State, StoredCharge, find};
use crate::service::{
    input,
    invoices::take_off_draft,
    party::Matter,
    refused::{Faults, not_found, not_now},
    work::{Change, Stopped, Work},
};

impl Change for CancelChargeRequest {
    type Answer = CancelChargeResponse;

    const METHOD: &'static str = "CancelCharge";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<CancelChargeResponse, Stopped> {
        let mut faults = Faults::default();
        let id = faults.take("id", input::id(&self.charge_id));
        let reason = faults.take("reason", input::if_any(&self.reason, input::reason));
        let (Some(id), Some(reason)) = (id, reason) else {
            return Err(faults.refusal().into());
        };
        let party = work.lock_matter(Matter::Charge(id)).await?;
        party.ok_or_else(|| not_found("charge"))?;

        let charge = one(work, id).await?;
        match charge.state {
            State::Unpriced | State::Billable => {}
            State::Invoiced => {
                return Err(refused(
                    RefusalReason::ChargeInvoiced,
                    id,
                    "the charge has already been invoiced",
                )
                .into());
            }
            State::Cancelled => {
                let why = "the charge has already been cancelled";
                return Err(refused(RefusalReason::ChargeCancelled, id, why).into());
            }
        }
        take_off_draft(work, &[id]).await?;
        cancel(work, &[id], reason.as_deref(), false).await?;

        let resource = Resource::new(ResourceType::Charge, id);
        let patient = Some(charge.patient_id);
        work.record(Action::CancelCharge, resource, patient);
        Ok(CancelChargeResponse {
            charge: Some(one(work, id).await?.into()),
        })
    }
}

/// Cancels charges that are on no invoice: because their appointment was corrected, or on purpose.
pub(super) async fn cancel(
    work: &mut Work,
    ids: &[Uuid],
    reason: Option<&str>,
    corrected: bool,
) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.charge
         SET state = 'CANCELLED', cancelled_at = clock_timestamp(), cancel_reason = $2,
             corrected = $3
         WHERE id = ANY($1) AND state IN ('UNPRICED', 'BILLABLE')",
        ids,
        reason,
        corrected,
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

async fn one(work: &mut Work, id: Uuid) -> Result<StoredCharge, Stopped> {
    let found = find(&mut work.transaction, &[id]).await?;
    let charge = found
        .into_iter()
        .next()
        .ok_or_else(|| not_found("charge"))?;
    Ok(charge)
}

fn refused(reason: RefusalReason, charge: Uuid, why: &str) -> tonic::Status {
    not_now(reason, format_args!("charge {charge}"), why)
}

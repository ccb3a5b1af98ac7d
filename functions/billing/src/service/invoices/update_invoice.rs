//! `UpdateInvoice`: the lines of a draft are replaced.

use api::RefusalReason;
use audit_trail::Action;
use contracts::billing::v1::{UpdateInvoiceRequest, UpdateInvoiceResponse};
use tonic::Status;
use uuid::Uuid;

use super::{
    draft_lines::{DraftLines, MAX_LINES, WantedLine},
    invoice::{StoredInvoice, whole},
};
use crate::service::{
    input,
    refused::{Faults, not_now},
    work::{Change, Stopped, Work},
};

impl Change for UpdateInvoiceRequest {
    type Answer = UpdateInvoiceResponse;

    const METHOD: &'static str = "UpdateInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<UpdateInvoiceResponse, Stopped> {
        let (id, wanted) = read(self)?;
        let (party, draft) = StoredInvoice::lock(work, id, &self.etag).await?;
        draft.must_be_draft()?;
        let lines = DraftLines::of(work, &party, &wanted, Some(id)).await?;
        if lines.currency.code() != draft.currency {
            let why = "the draft is in another currency";
            return Err(not_now(
                RefusalReason::MixedCurrencies,
                format_args!("invoice {id}"),
                why,
            )
            .into());
        }

        sqlx::query!("DELETE FROM billing.invoice_line WHERE invoice_id = $1", id)
            .execute(&mut work.transaction)
            .await?;
        lines.insert(work, id).await?;
        sqlx::query!(
            "UPDATE billing.invoice SET version = version + 1, net = $2, tax = $3, total = $4
             WHERE id = $1",
            id,
            lines.net,
            lines.tax,
            lines.total,
        )
        .execute(&mut work.transaction)
        .await?;

        let patient = Some(draft.patient_id);
        work.record(Action::DraftInvoice, draft.resource(), patient);
        let today = work.today();
        Ok(UpdateInvoiceResponse {
            invoice: Some(whole(&mut work.transaction, id, today).await?),
        })
    }
}

fn read(request: &UpdateInvoiceRequest) -> Result<(Uuid, Vec<WantedLine>), Status> {
    let mut faults = Faults::default();
    let id = faults.take("id", input::id(&request.invoice_id));
    if request.lines.is_empty() {
        faults.note("lines", "Is required");
    }
    if request.lines.len() > MAX_LINES {
        faults.note("lines", format_args!("Cannot be more than {MAX_LINES}"));
    }
    let mut wanted: Vec<WantedLine> = Vec::new();
    for (place, line) in request.lines.iter().take(MAX_LINES).enumerate() {
        let field = format!("lines[{place}].chargeId");
        let charge = faults.take(&field, input::id(&line.charge_id));
        let discount = line.discount.as_ref();
        let discount = discount.map(|discount| input::not_negative(Some(discount)));
        let discount = faults.take(&format!("lines[{place}].discount"), discount.transpose());
        let (Some(charge), Some(discount)) = (charge, discount) else {
            continue;
        };
        if wanted.iter().any(|other| other.charge == charge) {
            faults.note(&field, "Cannot be there twice");
        }
        wanted.push(WantedLine { charge, discount });
    }
    let Some(id) = id else {
        return Err(faults.refusal());
    };
    faults.none()?;
    Ok((id, wanted))
}

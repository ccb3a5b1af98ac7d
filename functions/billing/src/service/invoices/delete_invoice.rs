//! `DeleteInvoice`: a draft is given up, and its charges are billable again.

use audit_trail::Action;
use contracts::billing::v1::{DeleteInvoiceRequest, DeleteInvoiceResponse};

use super::invoice::StoredInvoice;
use crate::service::{
    input,
    work::{Change, Stopped, Work},
};

impl Change for DeleteInvoiceRequest {
    type Answer = DeleteInvoiceResponse;

    const METHOD: &'static str = "DeleteInvoice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<DeleteInvoiceResponse, Stopped> {
        let id = input::id_of("id", &self.invoice_id)?;
        let (_, draft) = StoredInvoice::lock(work, id, &self.etag).await?;
        draft.must_be_draft()?;
        sqlx::query!("DELETE FROM billing.invoice_line WHERE invoice_id = $1", id)
            .execute(&mut work.transaction)
            .await?;
        sqlx::query!("DELETE FROM billing.invoice WHERE id = $1", id)
            .execute(&mut work.transaction)
            .await?;
        let patient = Some(draft.patient_id);
        work.record(Action::DraftInvoice, draft.resource(), patient);
        Ok(DeleteInvoiceResponse {})
    }
}

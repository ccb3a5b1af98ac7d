//! `GetInvoice`: an invoice with its lines and credit notes, or `NOT_FOUND`.

use contracts::billing::v1::{GetInvoiceRequest, GetInvoiceResponse};
use tonic::Status;

use super::invoice::whole;
use crate::service::{
    input,
    work::{Books, Question},
};

impl Question for GetInvoiceRequest {
    type Answer = GetInvoiceResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let id = input::id_of("id", &self.invoice_id)?;
        let mut view = books.snapshot().await?;
        let invoice = whole(&mut view, id, books.clinic.today()).await;
        Ok(GetInvoiceResponse {
            invoice: Some(invoice.map_err(Status::from)?),
        })
    }
}

//! What patients are asked to pay.

mod create_invoice;
mod credit_invoice;
mod delete_invoice;
mod draft_lines;
mod get_invoice;
mod invoice;
mod issue_invoice;
mod list_invoices;
mod send_invoice;
mod update_invoice;
mod void_invoice;
mod write_off_invoice;

use contracts::billing::v1::{
    CreateInvoiceRequest, CreateInvoiceResponse, CreditInvoiceRequest, CreditInvoiceResponse,
    DeleteInvoiceRequest, DeleteInvoiceResponse, GetInvoiceRequest, GetInvoiceResponse,
    IssueInvoiceRequest, IssueInvoiceResponse, ListInvoicesRequest, ListInvoicesResponse,
    SendInvoiceRequest, SendInvoiceResponse, UpdateInvoiceRequest, UpdateInvoiceResponse,
    VoidInvoiceRequest, VoidInvoiceResponse, WriteOffInvoiceRequest, WriteOffInvoiceResponse,
    invoice_service_server::InvoiceService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::service::work::{Books, Stopped, Work};

pub(crate) use draft_lines::take_off_draft;
pub(crate) use invoice::{State as InvoiceState, StoredInvoice, find};

/// What is on an invoice of which nothing is left to be credited does not wait for a credit note any
/// more.
async fn leave_worklist(work: &mut Work, invoice: Uuid) -> Result<(), Stopped> {
    sqlx::query!(
        "UPDATE billing.charge SET needs_credit_note = false, corrected = true
         WHERE needs_credit_note AND id IN (
             SELECT line.charge_id FROM billing.invoice_line AS line
             JOIN billing.invoice ON invoice.id = line.invoice_id
             WHERE invoice.id = $1 AND line.live
                 AND invoice.total = invoice.credited + invoice.written_off
         )",
        invoice
    )
    .execute(&mut work.transaction)
    .await?;
    Ok(())
}

#[tonic::async_trait]
impl InvoiceService for Books {
    async fn create_invoice(
        &self,
        request: Request<CreateInvoiceRequest>,
    ) -> Result<Response<CreateInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn update_invoice(
        &self,
        request: Request<UpdateInvoiceRequest>,
    ) -> Result<Response<UpdateInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn delete_invoice(
        &self,
        request: Request<DeleteInvoiceRequest>,
    ) -> Result<Response<DeleteInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn issue_invoice(
        &self,
        request: Request<IssueInvoiceRequest>,
    ) -> Result<Response<IssueInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn send_invoice(
        &self,
        request: Request<SendInvoiceRequest>,
    ) -> Result<Response<SendInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn void_invoice(
        &self,
        request: Request<VoidInvoiceRequest>,
    ) -> Result<Response<VoidInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn credit_invoice(
        &self,
        request: Request<CreditInvoiceRequest>,
    ) -> Result<Response<CreditInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn write_off_invoice(
        &self,
        request: Request<WriteOffInvoiceRequest>,
    ) -> Result<Response<WriteOffInvoiceResponse>, Status> {
        self.change(request).await
    }

    async fn get_invoice(
        &self,
        request: Request<GetInvoiceRequest>,
    ) -> Result<Response<GetInvoiceResponse>, Status> {
        self.answer(request).await
    }

    async fn list_invoices(
        &self,
        request: Request<ListInvoicesRequest>,
    ) -> Result<Response<ListInvoicesResponse>, Status> {
        self.answer(request).await
    }
}

//! What patients have paid.

mod allocate_payment;
mod get_payment;
mod list_payments;
mod payment;
mod record_payment;
mod reverse_payment;

use contracts::billing::v1::{
    AllocatePaymentRequest, AllocatePaymentResponse, GetPaymentRequest, GetPaymentResponse,
    ListPaymentsRequest, ListPaymentsResponse, RecordPaymentRequest, RecordPaymentResponse,
    ReversePaymentRequest, ReversePaymentResponse, payment_service_server::PaymentService,
};
use tonic::{Request, Response, Status};

use crate::service::work::Books;

pub(crate) use payment::StoredPayment;

#[tonic::async_trait]
impl PaymentService for Books {
    async fn record_payment(
        &self,
        request: Request<RecordPaymentRequest>,
    ) -> Result<Response<RecordPaymentResponse>, Status> {
        self.change(request).await
    }

    async fn allocate_payment(
        &self,
        request: Request<AllocatePaymentRequest>,
    ) -> Result<Response<AllocatePaymentResponse>, Status> {
        self.change(request).await
    }

    async fn reverse_payment(
        &self,
        request: Request<ReversePaymentRequest>,
    ) -> Result<Response<ReversePaymentResponse>, Status> {
        self.change(request).await
    }

    async fn get_payment(
        &self,
        request: Request<GetPaymentRequest>,
    ) -> Result<Response<GetPaymentResponse>, Status> {
        self.answer(request).await
    }

    async fn list_payments(
        &self,
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<ListPaymentsResponse>, Status> {
        self.answer(request).await
    }
}

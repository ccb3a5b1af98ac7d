//! What is paid back to patients.

mod approve_refund;
mod complete_refund;
mod get_refund;
mod list_refunds;
mod refund;
mod reject_refund;
mod request_refund;

use contracts::billing::v1::{
    ApproveRefundRequest, ApproveRefundResponse, CompleteRefundRequest, CompleteRefundResponse,
    GetRefundRequest, GetRefundResponse, ListRefundsRequest, ListRefundsResponse,
    RejectRefundRequest, RejectRefundResponse, RequestRefundRequest, RequestRefundResponse,
    refund_service_server::RefundService,
};
use tonic::{Request, Response, Status};

use crate::service::work::Books;

#[tonic::async_trait]
impl RefundService for Books {
    async fn request_refund(
        &self,
        request: Request<RequestRefundRequest>,
    ) -> Result<Response<RequestRefundResponse>, Status> {
        self.change(request).await
    }

    async fn approve_refund(
        &self,
        request: Request<ApproveRefundRequest>,
    ) -> Result<Response<ApproveRefundResponse>, Status> {
        self.change(request).await
    }

    async fn reject_refund(
        &self,
        request: Request<RejectRefundRequest>,
    ) -> Result<Response<RejectRefundResponse>, Status> {
        self.change(request).await
    }

    async fn complete_refund(
        &self,
        request: Request<CompleteRefundRequest>,
    ) -> Result<Response<CompleteRefundResponse>, Status> {
        self.change(request).await
    }

    async fn get_refund(
        &self,
        request: Request<GetRefundRequest>,
    ) -> Result<Response<GetRefundResponse>, Status> {
        self.answer(request).await
    }

    async fn list_refunds(
        &self,
        request: Request<ListRefundsRequest>,
    ) -> Result<Response<ListRefundsResponse>, Status> {
        self.answer(request).await
    }
}

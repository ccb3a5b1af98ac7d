//! What the books say.

mod export_ledger;
mod get_aging;
mod get_balance;
mod get_revenue;
mod get_statement;
mod get_takings;
mod period;
mod send_statement;

use contracts::billing::v1::{
    ExportLedgerRequest, ExportLedgerResponse, GetAgingRequest, GetAgingResponse,
    GetBalanceRequest, GetBalanceResponse, GetRevenueRequest, GetRevenueResponse,
    GetStatementRequest, GetStatementResponse, GetTakingsRequest, GetTakingsResponse,
    SendStatementRequest, SendStatementResponse, report_service_server::ReportService,
};
use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::service::work::Books;

#[tonic::async_trait]
impl ReportService for Books {
    type ExportLedgerStream = BoxStream<'static, Result<ExportLedgerResponse, Status>>;

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<GetBalanceResponse>, Status> {
        self.answer(request).await
    }

    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<GetStatementResponse>, Status> {
        self.answer(request).await
    }

    async fn send_statement(
        &self,
        request: Request<SendStatementRequest>,
    ) -> Result<Response<SendStatementResponse>, Status> {
        self.change(request).await
    }

    async fn get_aging(
        &self,
        request: Request<GetAgingRequest>,
    ) -> Result<Response<GetAgingResponse>, Status> {
        self.answer(request).await
    }

    async fn get_revenue(
        &self,
        request: Request<GetRevenueRequest>,
    ) -> Result<Response<GetRevenueResponse>, Status> {
        self.answer(request).await
    }

    async fn get_takings(
        &self,
        request: Request<GetTakingsRequest>,
    ) -> Result<Response<GetTakingsResponse>, Status> {
        self.answer(request).await
    }

    async fn export_ledger(
        &self,
        request: Request<ExportLedgerRequest>,
    ) -> Result<Response<Self::ExportLedgerStream>, Status> {
        self.answer(request).await
    }
}

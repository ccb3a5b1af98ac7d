//! What patients are to pay for.

mod cancel_charge;
mod charge;
mod get_charge;
mod list_charges;
mod record_appointment_charges;
mod record_charge;

use contracts::billing::v1::{
    CancelChargeRequest, CancelChargeResponse, GetChargeRequest, GetChargeResponse,
    ListChargesRequest, ListChargesResponse, RecordAppointmentChargesRequest,
    RecordAppointmentChargesResponse, RecordChargeRequest, RecordChargeResponse,
    charge_service_server::ChargeService,
};
use tonic::{Request, Response, Status};

use crate::service::work::Books;

#[tonic::async_trait]
impl ChargeService for Books {
    async fn record_charge(
        &self,
        request: Request<RecordChargeRequest>,
    ) -> Result<Response<RecordChargeResponse>, Status> {
        self.change(request).await
    }

    async fn record_appointment_charges(
        &self,
        request: Request<RecordAppointmentChargesRequest>,
    ) -> Result<Response<RecordAppointmentChargesResponse>, Status> {
        self.change(request).await
    }

    async fn cancel_charge(
        &self,
        request: Request<CancelChargeRequest>,
    ) -> Result<Response<CancelChargeResponse>, Status> {
        self.change(request).await
    }

    async fn get_charge(
        &self,
        request: Request<GetChargeRequest>,
    ) -> Result<Response<GetChargeResponse>, Status> {
        self.answer(request).await
    }

    async fn list_charges(
        &self,
        request: Request<ListChargesRequest>,
    ) -> Result<Response<ListChargesResponse>, Status> {
        self.answer(request).await
    }
}

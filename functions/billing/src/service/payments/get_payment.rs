//! `GetPayment`: a payment with its allocations, or `NOT_FOUND`.

use contracts::billing::v1::{GetPaymentRequest, GetPaymentResponse};
use tonic::Status;

use super::payment::one;
use crate::service::{
    input,
    work::{Books, Question},
};

impl Question for GetPaymentRequest {
    type Answer = GetPaymentResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let id = input::id_of("id", &self.payment_id)?;
        let mut view = books.snapshot().await?;
        let payment = one(&mut view, id).await.map_err(Status::from)?;
        Ok(GetPaymentResponse {
            payment: Some(payment),
        })
    }
}

//! `GetRefund`: a refund, or `NOT_FOUND`.

use contracts::billing::v1::{GetRefundRequest, GetRefundResponse};
use tonic::Status;

use super::refund::StoredRefund;
use crate::service::{
    input,
    work::{Books, Question},
};

impl Question for GetRefundRequest {
    type Answer = GetRefundResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let id = input::id_of("id", &self.refund_id)?;
        let mut view = books.snapshot().await?;
        let refund = StoredRefund::get(&mut view, id)
            .await
            .map_err(Status::from)?;
        Ok(GetRefundResponse {
            refund: Some(refund.into()),
        })
    }
}

//! `GetCharge`: a charge, or `NOT_FOUND`.

use contracts::billing::v1::{GetChargeRequest, GetChargeResponse};
use tonic::Status;

use super::charge::find;
use crate::service::{
    database::failed,
    input,
    refused::not_found,
    work::{Books, Question},
};

impl Question for GetChargeRequest {
    type Answer = GetChargeResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let id = input::id_of("id", &self.charge_id)?;
        let found = find(&books.database, &[id]).await;
        let charge = found.map_err(|error| failed(&error))?.into_iter().next();
        let charge = charge.ok_or_else(|| not_found("charge"))?;
        Ok(GetChargeResponse {
            charge: Some(charge.into()),
        })
    }
}

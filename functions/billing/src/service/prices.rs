//! What the clinic's services cost.

mod list_prices;
mod price;
mod set_price;

use contracts::billing::v1::{
    ListPricesRequest, ListPricesResponse, SetPriceRequest, SetPriceResponse,
    price_service_server::PriceService,
};
use tonic::{Request, Response, Status};

use crate::service::work::Books;

pub(crate) use price::{PriceInForce, in_force};

#[tonic::async_trait]
impl PriceService for Books {
    async fn set_price(
        &self,
        request: Request<SetPriceRequest>,
    ) -> Result<Response<SetPriceResponse>, Status> {
        self.change(request).await
    }

    async fn list_prices(
        &self,
        request: Request<ListPricesRequest>,
    ) -> Result<Response<ListPricesResponse>, Status> {
        self.answer(request).await
    }
}

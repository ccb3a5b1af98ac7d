//! `ListPrices`: those that hold on a day, or all that were ever set.

use contracts::billing::v1::{ListPricesRequest, ListPricesResponse};
use tonic::Status;
use uuid::Uuid;

use super::price::StoredPrice;
use crate::service::{
    database::failed,
    input,
    refused::Faults,
    work::{Books, Question},
};

impl Question for ListPricesRequest {
    type Answer = ListPricesResponse;

    async fn answer(&self, books: &Books) -> Result<Self::Answer, Status> {
        let mut faults = Faults::default();
        let code = faults.take("code", input::if_any(&self.code, input::code));
        let on = faults.take("on", input::optional_day(&self.on_date));
        let (Some(code), Some(on)) = (code, on) else {
            return Err(faults.refusal());
        };
        let size = input::page_size(self.page_size)?;
        let after: Option<Uuid> = input::page_token(&self.page_token)?;

        // With a day, the first row of each code and currency up to it is the one that holds.
        let prices = sqlx::query_as!(
            StoredPrice,
            r#"SELECT price.id, price.code, price.description, price.currency, price.unit_amount,
                  price.tax_rate_ppm, price.valid_from, price.created_at
           FROM billing.price
           LEFT JOIN billing.price AS last ON last.id = $3
           WHERE ($1::text IS NULL OR price.code = $1)
               AND ($2::date IS NULL OR (price.valid_from <= $2 AND NOT EXISTS (
                   SELECT FROM billing.price AS newer
                   WHERE newer.code = price.code AND newer.currency = price.currency
                       AND newer.valid_from <= $2
                       AND (newer.valid_from, newer.sequence) > (price.valid_from, price.sequence)
               )))
               AND ($3::uuid IS NULL
                   OR (price.code, price.currency) > (last.code, last.currency)
                   OR ((price.code, price.currency) = (last.code, last.currency)
                       AND (price.valid_from, price.sequence) < (last.valid_from, last.sequence)))
           ORDER BY price.code, price.currency, price.valid_from DESC, price.sequence DESC
           LIMIT $4"#,
            code,
            on,
            after,
            size + 1,
        )
        .fetch_all(&books.database)
        .await
        .map_err(|error| failed(&error))?;
        let (prices, next_page_token) = input::page(prices, size, |last| last.id);
        Ok(ListPricesResponse {
            prices: prices.into_iter().map(Into::into).collect(),
            next_page_token,
        })
    }
}

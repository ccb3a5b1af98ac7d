//! A price, and which one holds on a day.

use chrono::{DateTime, NaiveDate, Utc};
use contracts::billing::v1::Price;
use uuid::Uuid;

use crate::service::{
    wire,
    work::{Stopped, Work},
};

/// A row of `billing.price`.
#[derive(Debug)]
pub(super) struct StoredPrice {
    pub(super) id: Uuid,
    pub(super) code: String,
    pub(super) description: String,
    pub(super) currency: String,
    pub(super) unit_amount: i64,
    pub(super) tax_rate_ppm: i32,
    pub(super) valid_from: NaiveDate,
    pub(super) created_at: DateTime<Utc>,
}

impl From<StoredPrice> for Price {
    fn from(price: StoredPrice) -> Self {
        Self {
            price_id: price.id.to_string(),
            amount: Some(wire::money(&price.currency, price.unit_amount)),
            code: price.code,
            description: price.description,
            tax_rate_ppm: wire::count(price.tax_rate_ppm),
            valid_from: wire::day(Some(price.valid_from)),
            create_time: Some(wire::time(price.created_at)),
        }
    }
}

/// What a charge copies of a price.
#[derive(Debug, Clone)]
pub(crate) struct PriceInForce {
    pub(crate) id: Uuid,
    pub(crate) description: String,
    pub(crate) unit_amount: i64,
    pub(crate) tax_rate_ppm: i32,
}

/// The price that holds on a day. To be asked with the code locked ([`Work::lock_codes`]).
pub(crate) async fn in_force(
    work: &mut Work,
    code: &str,
    currency: &str,
    day: NaiveDate,
) -> Result<Option<PriceInForce>, Stopped> {
    let price = sqlx::query_as!(
        PriceInForce,
        "SELECT id, description, unit_amount, tax_rate_ppm
         FROM billing.price
         WHERE code = $1 AND currency = $2 AND valid_from <= $3
         ORDER BY valid_from DESC, sequence DESC
         LIMIT 1",
        code,
        currency,
        day,
    )
    .fetch_optional(&mut work.transaction)
    .await?;
    Ok(price)
}

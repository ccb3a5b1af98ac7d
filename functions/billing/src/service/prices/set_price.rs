//! `SetPrice`: the price of a code from a date on.
//!
//! Charges that wait for a price get it, if it is the one that holds on their day. Whoever records
//! a charge of the code meanwhile waits, so that none is left without a price that is there.

use std::ops::RangeInclusive;

use audit_trail::{Action, Resource, ResourceType};
use chrono::NaiveDate;
use contracts::billing::v1::{SetPriceRequest, SetPriceResponse};
use money::{MAX_MINOR_UNITS, Money, TaxRate};
use tonic::Status;
use uuid::Uuid;

use super::price::StoredPrice;
use crate::service::{
    input,
    refused::Faults,
    work::{Change, Stopped, Work},
};

/// How many characters a description has.
const DESCRIPTION: RangeInclusive<usize> = 1..=200;

impl Change for SetPriceRequest {
    type Answer = SetPriceResponse;

    const METHOD: &'static str = "SetPrice";

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    async fn make(&self, work: &mut Work) -> Result<SetPriceResponse, Stopped> {
        let price = NewPrice::read(self)?;
        work.lock_code_to_set(&price.code).await?;

        let stored = price.insert(work).await?;
        let priced = price.price_what_waits(work).await?;

        let resource = Resource::new(ResourceType::Price, stored.id);
        work.record(Action::SetPrice, resource, None);
        Ok(SetPriceResponse {
            price: Some(stored.into()),
            priced_charges: u32::try_from(priced).unwrap_or(u32::MAX),
        })
    }
}

struct NewPrice {
    code: String,
    description: String,
    amount: Money,
    tax_rate: TaxRate,
    valid_from: NaiveDate,
}

impl NewPrice {
    fn read(request: &SetPriceRequest) -> Result<Self, Status> {
        let mut faults = Faults::default();
        let code = faults.take("code", input::code(&request.code));
        let description = input::line("The description", &request.description, &DESCRIPTION);
        let description = faults.take("description", description);
        let amount = faults.take("amount", input::not_negative(request.amount.as_ref()));
        let tax_rate = faults.take("taxRatePpm", TaxRate::ppm(request.tax_rate_ppm));
        let valid_from = faults.take("validFrom", input::day(&request.valid_from));
        let (Some(code), Some(description), Some(amount), Some(tax_rate), Some(valid_from)) =
            (code, description, amount, tax_rate, valid_from)
        else {
            return Err(faults.refusal());
        };
        Ok(Self {
            code,
            description,
            amount,
            tax_rate,
            valid_from,
        })
    }

    fn tax_rate_ppm(&self) -> i32 {
        self.tax_rate.millionths().cast_signed()
    }

    async fn insert(&self, work: &mut Work) -> Result<StoredPrice, Stopped> {
        let stored = sqlx::query_as!(
            StoredPrice,
            "INSERT INTO billing.price
                 (id, code, description, currency, unit_amount, tax_rate_ppm, valid_from)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             RETURNING id, code, description, currency, unit_amount, tax_rate_ppm, valid_from,
                       created_at",
            Uuid::now_v7(),
            self.code,
            self.description,
            self.amount.currency().code(),
            self.amount.minor_units(),
            self.tax_rate_ppm(),
            self.valid_from,
        )
        .fetch_one(&mut work.transaction)
        .await?;
        Ok(stored)
    }

    /// Those of whose day it is the latest price. What would be more than any amount may be, with its
    /// tax, stays on the worklist.
    async fn price_what_waits(&self, work: &mut Work) -> Result<u64, Stopped> {
        let priced = sqlx::query!(
            "UPDATE billing.charge
             SET state = 'BILLABLE', price_id = price.id, description = price.description,
                 unit_amount = price.unit_amount, tax_rate_ppm = price.tax_rate_ppm,
                 amount = price.unit_amount * charge.quantity
             FROM billing.charge AS waiting
             CROSS JOIN LATERAL (
                 SELECT id, description, unit_amount, tax_rate_ppm
                 FROM billing.price
                 WHERE price.code = waiting.code AND price.currency = waiting.currency
                     AND price.valid_from <= waiting.service_date
                 ORDER BY price.valid_from DESC, price.sequence DESC
                 LIMIT 1
             ) AS price
             WHERE waiting.id = charge.id AND charge.state = 'UNPRICED'
                 AND waiting.code = $1 AND waiting.currency = $2 AND waiting.state = 'UNPRICED'
                 AND waiting.service_date >= $3
                 AND price.unit_amount::numeric * waiting.quantity
                     + div(price.unit_amount::numeric * waiting.quantity * price.tax_rate_ppm
                           + 500000, 1000000)
                     <= $4::bigint",
            self.code,
            self.amount.currency().code(),
            self.valid_from,
            MAX_MINOR_UNITS,
        )
        .execute(&mut work.transaction)
        .await?;
        Ok(priced.rows_affected())
    }
}

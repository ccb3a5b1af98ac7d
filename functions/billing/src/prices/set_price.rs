//! `POST /api/prices`: sets what something costs from a day on.

use api::{
    Input, InputErrors, Problem, ProblemDocument, State,
    layers::{ByService, Permitted},
};
use audit_trail::{Action, Errand};
use axum::{Json, Router, response::Response};
use billing_client::{BillingClient, BillingError};
use contracts::billing::v1;
use http::StatusCode;
use idempotency::IdempotencyKey;
use identity::Permission;
use money::{Money, TaxRate};
use route::Route;
use serde::Deserialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::price::Price;
use crate::{amount, day::Day, problem::problem, text};

/// The route.
pub const ROUTE: Route<Permitted, ByService, ByService> = Route::post("/api/prices")
    .function("set-price")
    .requires(Permission::ManagePrices)
    .carried_out_by_service(Action::SetPrice);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(set_price, billing, database)
}

/// What something costs from a day on.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "code": "CONSULT-30",
    "description": "Consultation, 30 minutes",
    "amount": { "currency": "EUR", "minorUnits": 6500 },
    "taxRatePpm": 190_000,
    "validFrom": "2027-01-01"
}))]
pub(crate) struct NewPrice {
    /// What it is the price of: a service's code in the schedule.
    #[schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9._-]{1,32}$")]
    code: String,
    /// What an invoice says.
    #[schema(min_length = 1, max_length = 200)]
    description: String,
    /// For one of it, without tax; 0 or more.
    amount: Money,
    /// The tax on it in millionths: 190000 is 19 %.
    #[schema(minimum = 0, maximum = 1_000_000)]
    tax_rate_ppm: u32,
    /// The first day on which it holds.
    #[schema(value_type = NaiveDate)]
    valid_from: Day,
}

/// Set a price
///
/// A price is never changed: another one for the same code, currency and day takes its place, and one
/// from a later day ends it. A charge keeps the price that it was made with; those that wait for this
/// price get it.
#[utoipa::path(
    post, path = ROUTE.path(), tag = "prices",
    params(IdempotencyKey),
    request_body = NewPrice,
    responses(
        (status = 201, description = "The price is set", body = Price),
        (status = 400, description = "A field is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set_price(
    State(billing): State<BillingClient>,
    errand: Errand,
    Input(input): Input<NewPrice>,
) -> Result<Response, Problem> {
    let request = input.parse()?;
    let set = billing.set_price(&errand, request).await.map_err(problem)?;
    let price = set.answer.price.ok_or(BillingError::Unreadable("price"));
    let price = price.and_then(Price::try_from).map_err(problem)?;
    errand.made(price.resource(), None);
    Ok(errand.done(set.replayed, (StatusCode::CREATED, Json(price))))
}

impl NewPrice {
    fn parse(self) -> Result<v1::SetPriceRequest, Problem> {
        let mut errors = InputErrors::default();
        let code = errors.field("code", text::code(&self.code));
        let description = errors.field("description", text::description(&self.description));
        let amount = errors.field("amount", amount::not_negative(self.amount));
        let tax_rate = errors.field("taxRatePpm", TaxRate::ppm(self.tax_rate_ppm));
        let parsed = || {
            Some(v1::SetPriceRequest {
                request_id: String::new(),
                code: code?,
                description: description?,
                amount: Some(amount?.into()),
                tax_rate_ppm: tax_rate?.millionths(),
                valid_from: self.valid_from.0.to_string(),
            })
        };
        parsed().ok_or_else(|| errors.into_problem())
    }
}

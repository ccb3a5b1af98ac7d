//! `GET /api/prices`: what things cost on a day, or have ever cost.

use api::{
    Cursor, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use billing_client::BillingClient;
use contracts::billing::v1;
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::price::Price;
use crate::{day::Day, page, problem::problem, text};

/// The route. Prices are about nobody: only refusals are recorded.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/prices")
    .function("list-prices")
    .requires(Permission::ReadPrices)
    .refusals_are(Action::ReadPrices);

/// Serves the route.
pub fn routes(billing: BillingClient) -> Router {
    ROUTE.served_by(list_prices, billing)
}

/// Which prices, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only the prices of this code.
    #[param(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9._-]{1,32}$")]
    code: Option<String>,
    /// Only the prices that hold on this day, one per code and currency.
    #[param(value_type = Option<NaiveDate>)]
    on: Option<Day>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of prices per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// A page of prices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriceList {
    prices: Vec<Price>,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// List prices
///
/// In the order of code, currency and day. With a day, the prices that hold on it; without, all that
/// were ever set, the newest of a code first.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "prices",
    params(Page),
    responses(
        (status = 200, description = "A page of prices", body = PriceList),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_prices(
    State(billing): State<BillingClient>,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<PriceList>, Problem> {
    let code = text::if_any(page.code.as_deref(), text::code)
        .map_err(|error| Problem::invalid_field("code", error.to_string()))?;
    let request = v1::ListPricesRequest {
        code,
        on_date: Day::text_of(page.on),
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let listed = billing.list_prices(request).await.map_err(problem)?;
    let prices = listed.prices.into_iter().map(Price::try_from);
    Ok(Json(PriceList {
        prices: prices.collect::<Result<_, _>>().map_err(problem)?,
        next_cursor: page::next_cursor(listed.next_page_token),
    }))
}

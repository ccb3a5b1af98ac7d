//! `GET /api/billing/revenue`: what was earned in a period.

use api::{
    Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::{BillingClient, BillingError};
use chrono::NaiveDate;
use contracts::billing::v1;
use identity::Permission;
use money::{Currency, Money};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};

use crate::{answer, currency, day::Day, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/billing/revenue")
    .function("get-revenue")
    .requires(Permission::ReadBillingReports)
    .records(Action::ReadBillingReports);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_revenue, (database.clone(), billing), database)
}

/// Which period, and which currency.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Period {
    /// The first day.
    #[param(value_type = NaiveDate)]
    from: Day,
    /// The last day; at most 366 days in all.
    #[param(value_type = NaiveDate)]
    to: Day,
    /// The currency; the clinic's if missing.
    #[param(inline)]
    currency: Option<Currency>,
}

/// What was earned in a period
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "from": "2027-01-01",
    "to": "2027-01-31",
    "codes": [{
        "code": "CONSULT-30",
        "issued": { "currency": "EUR", "minorUnits": 65_000 },
        "voided": { "currency": "EUR", "minorUnits": 6500 },
        "credited": { "currency": "EUR", "minorUnits": 1000 },
        "revenue": { "currency": "EUR", "minorUnits": 57_500 },
        "tax": { "currency": "EUR", "minorUnits": 10_925 }
    }],
    "total": {
        "issued": { "currency": "EUR", "minorUnits": 65_000 },
        "voided": { "currency": "EUR", "minorUnits": 6500 },
        "credited": { "currency": "EUR", "minorUnits": 1000 },
        "revenue": { "currency": "EUR", "minorUnits": 57_500 },
        "tax": { "currency": "EUR", "minorUnits": 10_925 }
    }
}))]
pub(crate) struct Revenue {
    /// The first day.
    from: NaiveDate,
    /// The last day.
    to: NaiveDate,
    /// By what was billed.
    codes: Vec<RevenueOfCode>,
    /// All together.
    total: RevenueTotal,
}

/// What was earned with something
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevenueOfCode {
    /// What it is billed as.
    code: String,
    /// On invoices that were issued in the period, without tax.
    issued: Money,
    /// On invoices that were voided in the period, whenever they were issued.
    voided: Money,
    /// By credit notes that were issued in the period.
    credited: Money,
    /// What is left of `issued` without the other two.
    revenue: Money,
    /// The tax on it.
    tax: Money,
}

/// What was earned
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevenueTotal {
    /// On invoices that were issued in the period, without tax.
    issued: Money,
    /// On invoices that were voided in the period, whenever they were issued.
    voided: Money,
    /// By credit notes that were issued in the period.
    credited: Money,
    /// What is left of `issued` without the other two.
    revenue: Money,
    /// The tax on it.
    tax: Money,
}

/// Get the revenue of a period
///
/// What was issued, less what was taken back, by the day on which either was done. What was paid of it
/// is another matter: see the takings.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(Period),
    responses(
        (status = 200, description = "The revenue", body = Revenue),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_revenue(
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(period): QueryInput<Period>,
) -> Result<Json<Revenue>, Problem> {
    let request = v1::GetRevenueRequest {
        from_date: period.from.0.to_string(),
        to_date: period.to.0.to_string(),
        currency_code: currency::code_of(period.currency),
    };
    let answer = billing.get_revenue(request).await.map_err(problem)?;
    let revenue = Revenue::try_from(answer).map_err(problem)?;
    trail.succeeded(&database, Subject::Nobody).await?;
    Ok(Json(revenue))
}

impl TryFrom<v1::GetRevenueResponse> for Revenue {
    type Error = BillingError;

    fn try_from(answer: v1::GetRevenueResponse) -> Result<Self, BillingError> {
        let codes = answer.codes.into_iter().map(RevenueOfCode::try_from);
        let total = answer.total.ok_or(BillingError::Unreadable("total"))?;
        Ok(Self {
            from: answer::day("from_date", &answer.from_date)?,
            to: answer::day("to_date", &answer.to_date)?,
            codes: codes.collect::<Result<_, _>>()?,
            total: total.try_into()?,
        })
    }
}

impl TryFrom<v1::RevenueByCode> for RevenueOfCode {
    type Error = BillingError;

    fn try_from(revenue: v1::RevenueByCode) -> Result<Self, BillingError> {
        let totals = revenue.totals.ok_or(BillingError::Unreadable("totals"))?;
        let RevenueTotal {
            issued,
            voided,
            credited,
            revenue: earned,
            tax,
        } = totals.try_into()?;
        Ok(Self {
            code: revenue.code,
            issued,
            voided,
            credited,
            revenue: earned,
            tax,
        })
    }
}

impl TryFrom<v1::RevenueTotals> for RevenueTotal {
    type Error = BillingError;

    fn try_from(totals: v1::RevenueTotals) -> Result<Self, BillingError> {
        Ok(Self {
            issued: answer::money("issued", totals.issued)?,
            voided: answer::money("voided", totals.voided)?,
            credited: answer::money("credited", totals.credited)?,
            revenue: answer::money("revenue", totals.revenue)?,
            tax: answer::money("tax", totals.tax)?,
        })
    }
}

//! `GET /api/billing/takings`: what came in and was paid out on a day.

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

use crate::{
    answer, currency,
    day::Day,
    payments::{PaymentMethod, of_method},
    problem::problem,
};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/billing/takings")
    .function("get-takings")
    .requires(Permission::ReadBillingReports)
    .records(Action::ReadBillingReports);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_takings, (database.clone(), billing), database)
}

/// Which day, and which currency.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct OnDay {
    /// The day; today if missing.
    #[param(value_type = Option<NaiveDate>)]
    date: Option<Day>,
    /// The currency; the clinic's if missing.
    #[param(inline)]
    currency: Option<Currency>,
}

/// What came in and was paid out on a day
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "date": "2027-01-18",
    "methods": [
        {
            "method": "CASH",
            "payments": { "currency": "EUR", "minorUnits": 0 },
            "reversed": { "currency": "EUR", "minorUnits": 0 },
            "refunds": { "currency": "EUR", "minorUnits": 0 },
            "net": { "currency": "EUR", "minorUnits": 0 },
            "paymentCount": 0
        },
        {
            "method": "CARD",
            "payments": { "currency": "EUR", "minorUnits": 10_000 },
            "reversed": { "currency": "EUR", "minorUnits": 0 },
            "refunds": { "currency": "EUR", "minorUnits": 0 },
            "net": { "currency": "EUR", "minorUnits": 10_000 },
            "paymentCount": 1
        },
        {
            "method": "TRANSFER",
            "payments": { "currency": "EUR", "minorUnits": 0 },
            "reversed": { "currency": "EUR", "minorUnits": 0 },
            "refunds": { "currency": "EUR", "minorUnits": 0 },
            "net": { "currency": "EUR", "minorUnits": 0 },
            "paymentCount": 0
        }
    ],
    "total": {
        "payments": { "currency": "EUR", "minorUnits": 10_000 },
        "reversed": { "currency": "EUR", "minorUnits": 0 },
        "refunds": { "currency": "EUR", "minorUnits": 0 },
        "net": { "currency": "EUR", "minorUnits": 10_000 },
        "paymentCount": 1
    }
}))]
pub(crate) struct DayTakings {
    /// The day.
    date: NaiveDate,
    /// By how money changed hands.
    methods: Vec<MethodTakings>,
    /// All together.
    total: Takings,
}

/// What came in and was paid out in one way
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MethodTakings {
    /// How.
    method: PaymentMethod,
    /// The payments that were recorded.
    payments: Money,
    /// The payments that were reversed, whenever they were recorded.
    reversed: Money,
    /// The refunds that were paid out.
    refunds: Money,
    /// What is left of `payments` without the other two.
    net: Money,
    /// How many payments were recorded.
    payment_count: u32,
}

/// What came in and was paid out
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Takings {
    /// The payments that were recorded.
    payments: Money,
    /// The payments that were reversed, whenever they were recorded.
    reversed: Money,
    /// The refunds that were paid out.
    refunds: Money,
    /// What is left of `payments` without the other two.
    net: Money,
    /// How many payments were recorded.
    payment_count: u32,
}

/// Get the takings of a day
///
/// What the cash box and the bank statements of that day should show.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(OnDay),
    responses(
        (status = 200, description = "The takings", body = DayTakings),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_takings(
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(on): QueryInput<OnDay>,
) -> Result<Json<DayTakings>, Problem> {
    let request = v1::GetTakingsRequest {
        date: Day::text_of(on.date),
        currency_code: currency::code_of(on.currency),
    };
    let answer = billing.get_takings(request).await.map_err(problem)?;
    let takings = DayTakings::try_from(answer).map_err(problem)?;
    trail.succeeded(&database, Subject::Nobody).await?;
    Ok(Json(takings))
}

impl TryFrom<v1::GetTakingsResponse> for DayTakings {
    type Error = BillingError;

    fn try_from(answer: v1::GetTakingsResponse) -> Result<Self, BillingError> {
        let methods = answer.methods.into_iter().map(MethodTakings::try_from);
        let total = answer.total.ok_or(BillingError::Unreadable("total"))?;
        Ok(Self {
            date: answer::day("date", &answer.date)?,
            methods: methods.collect::<Result<_, _>>()?,
            total: total.try_into()?,
        })
    }
}

impl TryFrom<v1::TakingsByMethod> for MethodTakings {
    type Error = BillingError;

    fn try_from(takings: v1::TakingsByMethod) -> Result<Self, BillingError> {
        let method = of_method(takings.method())?;
        let takings = takings.takings.ok_or(BillingError::Unreadable("takings"))?;
        let Takings {
            payments,
            reversed,
            refunds,
            net,
            payment_count,
        } = takings.try_into()?;
        Ok(Self {
            method,
            payments,
            reversed,
            refunds,
            net,
            payment_count,
        })
    }
}

impl TryFrom<v1::Takings> for Takings {
    type Error = BillingError;

    fn try_from(takings: v1::Takings) -> Result<Self, BillingError> {
        Ok(Self {
            payments: answer::money("payments", takings.payments)?,
            reversed: answer::money("reversed", takings.reversed)?,
            refunds: answer::money("refunds", takings.refunds)?,
            net: answer::money("net", takings.net)?,
            payment_count: takings.payment_count,
        })
    }
}

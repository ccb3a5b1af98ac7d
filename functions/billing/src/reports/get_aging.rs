//! `GET /api/billing/aging`: what patients owe, by how long it is overdue.

use api::{
    Cursor, Limit, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Recorded, Repeatable},
};
use audit_trail::{Action, Subject, Trail};
use axum::{Json, Router};
use billing_client::{BillingClient, BillingError};
use chrono::NaiveDate;
use contracts::billing::v1;
use identity::{Caller, Permission};
use money::{Currency, Money};
use route::Route;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{answer, currency, day::Day, page, patients, problem::problem};

/// The route.
pub const ROUTE: Route<Permitted, Recorded, Repeatable> = Route::get("/api/billing/aging")
    .function("get-aging")
    .requires(Permission::ReadBillingReports)
    .records(Action::ReadBillingReports);

/// Serves the route.
pub fn routes(database: PgPool, billing: BillingClient) -> Router {
    ROUTE.served_by(get_aging, (database.clone(), billing), database)
}

/// As of which day, in which currency, and which page.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// At the end of which day, today at the latest; today if missing.
    #[param(value_type = Option<NaiveDate>)]
    as_of: Option<Day>,
    /// The currency; the clinic's if missing.
    #[param(inline)]
    currency: Option<Currency>,
    /// `nextCursor` of the previous page; omit it for the first page.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor<String>>,
    /// The number of patients per page, 1 to 100.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 100, default = 20)]
    limit: Limit,
}

/// What patients owe at the end of a day
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "asOf": "2027-03-01",
    "patients": [
        {
            "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
            "notDue": { "currency": "EUR", "minorUnits": 0 },
            "days1To30": { "currency": "EUR", "minorUnits": 0 },
            "days31To60": { "currency": "EUR", "minorUnits": 0 },
            "days61To90": { "currency": "EUR", "minorUnits": 0 },
            "over90Days": { "currency": "EUR", "minorUnits": 0 },
            "total": { "currency": "EUR", "minorUnits": 0 },
            "credit": { "currency": "EUR", "minorUnits": 1190 }
        },
        {
            "patientId": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1ac",
            "notDue": { "currency": "EUR", "minorUnits": 12_000 },
            "days1To30": { "currency": "EUR", "minorUnits": 5735 },
            "days31To60": { "currency": "EUR", "minorUnits": 0 },
            "days61To90": { "currency": "EUR", "minorUnits": 0 },
            "over90Days": { "currency": "EUR", "minorUnits": 0 },
            "total": { "currency": "EUR", "minorUnits": 17_735 },
            "credit": { "currency": "EUR", "minorUnits": 0 }
        }
    ],
    "total": {
        "notDue": { "currency": "EUR", "minorUnits": 12_000 },
        "days1To30": { "currency": "EUR", "minorUnits": 5735 },
        "days31To60": { "currency": "EUR", "minorUnits": 0 },
        "days61To90": { "currency": "EUR", "minorUnits": 0 },
        "over90Days": { "currency": "EUR", "minorUnits": 0 },
        "total": { "currency": "EUR", "minorUnits": 17_735 },
        "credit": { "currency": "EUR", "minorUnits": 1190 }
    },
    "nextCursor": null
}))]
pub(crate) struct Aging {
    /// The day.
    as_of: NaiveDate,
    /// Who owes something or has credit.
    patients: Vec<PatientAging>,
    /// Of all patients, on whichever page.
    total: AgingTotal,
    /// Send it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What a patient owes
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientAging {
    /// The patient.
    patient_id: Uuid,
    /// On invoices whose last day is not over.
    not_due: Money,
    /// Overdue for 1 to 30 days.
    #[serde(rename = "days1To30")]
    days_1_to_30: Money,
    /// Overdue for 31 to 60 days.
    #[serde(rename = "days31To60")]
    days_31_to_60: Money,
    /// Overdue for 61 to 90 days.
    #[serde(rename = "days61To90")]
    days_61_to_90: Money,
    /// Overdue for longer.
    #[serde(rename = "over90Days")]
    over_90_days: Money,
    /// The sum of what is due.
    total: Money,
    /// What they have paid that is for no invoice yet. It is not taken off the sum.
    credit: Money,
}

/// What all patients owe together
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AgingTotal {
    /// On invoices whose last day is not over.
    not_due: Money,
    /// Overdue for 1 to 30 days.
    #[serde(rename = "days1To30")]
    days_1_to_30: Money,
    /// Overdue for 31 to 60 days.
    #[serde(rename = "days31To60")]
    days_31_to_60: Money,
    /// Overdue for 61 to 90 days.
    #[serde(rename = "days61To90")]
    days_61_to_90: Money,
    /// Overdue for longer.
    #[serde(rename = "over90Days")]
    over_90_days: Money,
    /// The sum of what is due.
    total: Money,
    /// What was paid that is for no invoice yet. It is not taken off the sum.
    credit: Money,
}

/// Get what patients owe
///
/// At the end of a day, by how long it was overdue then. What is booked later does not change it.
/// Restricted patients are in it, and in its totals, only for callers who may see them.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "billing-reports",
    params(Page),
    responses(
        (status = 200, description = "What patients owe", body = Aging),
        (status = 400, description = "A parameter is invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_aging(
    caller: Caller,
    State((database, billing)): State<(PgPool, BillingClient)>,
    trail: Trail,
    QueryInput(page): QueryInput<Page>,
) -> Result<Json<Aging>, Problem> {
    let request = v1::GetAgingRequest {
        as_of_date: Day::text_of(page.as_of),
        currency_code: currency::code_of(page.currency),
        include_restricted: caller.role.may(Permission::SeeRestrictedPatients),
        page_size: page::size(page.limit),
        page_token: page::token(page.cursor),
    };
    let answer = billing.get_aging(request).await.map_err(problem)?;
    let aging = Aging::try_from(answer).map_err(problem)?;
    let patients = patients::each_once(aging.patients.iter().map(|patient| patient.patient_id));
    trail
        .succeeded(&database, Subject::Patients(&patients))
        .await?;
    Ok(Json(aging))
}

impl TryFrom<v1::GetAgingResponse> for Aging {
    type Error = BillingError;

    fn try_from(answer: v1::GetAgingResponse) -> Result<Self, BillingError> {
        let patients = answer.patients.into_iter().map(PatientAging::try_from);
        let total = answer.total.ok_or(BillingError::Unreadable("total"))?;
        Ok(Self {
            as_of: answer::day("as_of_date", &answer.as_of_date)?,
            patients: patients.collect::<Result<_, _>>()?,
            total: total.try_into()?,
            next_cursor: page::next_cursor(answer.next_page_token),
        })
    }
}

impl TryFrom<v1::PatientAging> for PatientAging {
    type Error = BillingError;

    fn try_from(aging: v1::PatientAging) -> Result<Self, BillingError> {
        let buckets = aging.buckets.ok_or(BillingError::Unreadable("buckets"))?;
        let AgingTotal {
            not_due,
            days_1_to_30,
            days_31_to_60,
            days_61_to_90,
            over_90_days,
            total,
            credit,
        } = buckets.try_into()?;
        Ok(Self {
            patient_id: answer::id("patient_id", &aging.patient_id)?,
            not_due,
            days_1_to_30,
            days_31_to_60,
            days_61_to_90,
            over_90_days,
            total,
            credit,
        })
    }
}

impl TryFrom<v1::AgingBuckets> for AgingTotal {
    type Error = BillingError;

    fn try_from(buckets: v1::AgingBuckets) -> Result<Self, BillingError> {
        Ok(Self {
            not_due: answer::money("not_due", buckets.not_due)?,
            days_1_to_30: answer::money("days_1_to_30", buckets.days_1_to_30)?,
            days_31_to_60: answer::money("days_31_to_60", buckets.days_31_to_60)?,
            days_61_to_90: answer::money("days_61_to_90", buckets.days_61_to_90)?,
            over_90_days: answer::money("over_90_days", buckets.over_90_days)?,
            total: answer::money("total", buckets.total)?,
            credit: answer::money("credit", buckets.credit)?,
        })
    }
}

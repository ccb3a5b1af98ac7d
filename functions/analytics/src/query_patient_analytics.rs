//! `GET /api/analytics/patients`: what happened to patients, day by day.
//!
//! Reads the counters of several months concurrently, and returns every day of the period, so that
//! a chart has no gaps.

use std::{collections::BTreeMap, sync::Arc};

use api::{
    ClinicTimeZone, DayOrTime, Problem, ProblemDocument, QueryInput, State,
    layers::{Permitted, Repeatable, Unrecorded},
};
use audit_trail::Action;
use axum::{Json, Router};
use chrono::{NaiveDate, Utc};
use identity::Permission;
use route::Route;
use serde::{Deserialize, Serialize};
use store::Table;
use utoipa::{IntoParams, ToSchema};

use crate::{
    counters::{AnalyticsTable, Counts, month_partition, read_day},
    months,
    period::Period,
};

/// The route.
pub const ROUTE: Route<Permitted, Unrecorded, Repeatable> = Route::get("/api/analytics/patients")
    .function("query-patient-analytics")
    .requires(Permission::ReadAnalytics)
    .refusals_are(Action::ReadAnalytics);

/// Serves the route.
pub fn routes(AnalyticsTable(table): AnalyticsTable) -> Router {
    ROUTE.served_by(query_patient_analytics, Arc::new(table))
}

/// The period.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Days {
    /// The first day, in the clinic's time zone, or a time on it (RFC 3339). By default, 29 days before `to`.
    #[param(inline, value_type = Option<DayOrTime>)]
    from: Option<String>,
    /// The last day, in the clinic's time zone, or a time before which the period ends; at most 366 days in all. By
    /// default, today.
    #[param(inline, value_type = Option<DayOrTime>)]
    to: Option<String>,
}

/// What happened to patients in a period.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PatientAnalytics {
    /// The first day.
    from: NaiveDate,
    /// The last day.
    to: NaiveDate,
    /// The sum of all days.
    totals: Counts,
    /// Every day of the period, in order.
    days: Vec<DayCounts>,
}

/// What happened to patients on one day.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientCountsOfDay)]
pub(crate) struct DayCounts {
    /// The day, in the clinic's time zone.
    date: NaiveDate,
    /// What happened.
    #[serde(flatten)]
    counts: Counts,
}

/// Count what happened to patients
///
/// The number of patients who were registered, changed and deleted on every day of a period, and
/// the ages of those who were registered. Days on which nothing happened are included.
#[utoipa::path(
    get, path = ROUTE.path(), tag = "analytics",
    params(Days),
    responses(
        (status = 200, description = "The counts of every day, and their sum", body = PatientAnalytics),
        (status = 400, description = "The dates are invalid", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn query_patient_analytics(
    clinic: ClinicTimeZone,
    State(table): State<Arc<Table>>,
    QueryInput(days): QueryInput<Days>,
) -> Result<Json<PatientAnalytics>, Problem> {
    let period = Period::parse(days.from.as_deref(), days.to.as_deref(), clinic, Utc::now())?;

    let counted = read(&table, period).await?;

    let days: Vec<DayCounts> = period
        .days()
        .map(|date| DayCounts {
            date,
            counts: counted.get(&date).copied().unwrap_or_default(),
        })
        .collect();
    Ok(Json(PatientAnalytics {
        from: period.from(),
        to: period.to(),
        totals: days.iter().map(|day| day.counts).sum(),
        days,
    }))
}

/// The days on which something was counted.
async fn read(table: &Table, period: Period) -> Result<BTreeMap<NaiveDate, Counts>, Problem> {
    let days = months::read(table, period, month_partition, read_day).await?;
    let mut counted: BTreeMap<NaiveDate, Counts> = BTreeMap::new();
    for (day, counts) in days {
        *counted.entry(day).or_default() += counts;
    }
    Ok(counted)
}

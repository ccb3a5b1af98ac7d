//! Events, and the route as a client sees it.

use analytics::{
    count_patient_events::{self, CountError},
    counters::AnalyticsTable,
    query_patient_analytics,
};
use api::ClinicTimeZone;
use axum::body::Body;
use chrono::{DateTime, Utc};
use events::{Batch, Change, Effect, Patient, PatientEvent};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use serde_json::Value;
use store::Table;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::delivery::only;

pub(crate) fn event(occurred_at: &str, change: Change) -> PatientEvent {
    PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: occurred_at.parse::<DateTime<Utc>>().unwrap(),
        patient_id: Uuid::now_v7(),
        patient_version: 1,
        change,
    }
}

/// A patient who was registered on 1 May 2024.
pub(crate) fn born_on(date_of_birth: &str) -> Patient {
    Patient {
        name: "Zoë Ærøskøbing 🩺".to_owned(),
        email: Some("zoë@clinic.example".to_owned()),
        address: Some("Ullevålsveien 1, Oslo".to_owned()),
        date_of_birth: date_of_birth.parse().unwrap(),
        registered_date: "2024-05-01".parse().unwrap(),
    }
}

/// Counts an event in a clinic in UTC.
pub(crate) async fn count(table: &Table, event: &PatientEvent) -> Result<Effect, CountError> {
    in_zone(table, ClinicTimeZone::UTC, event).await
}

/// Counts an event in a clinic in this time zone.
pub(crate) async fn in_zone(
    table: &Table,
    clinic: ClinicTimeZone,
    event: &PatientEvent,
) -> Result<Effect, CountError> {
    let batch = Batch::of(0, std::slice::from_ref(event));
    only(count_patient_events::count(table, clinic, batch).await)
}

pub(crate) async fn count_all(table: &Table, events: &[PatientEvent]) {
    for event in events {
        assert_eq!(count(table, event).await.unwrap(), Effect::Applied);
    }
}

/// The response to an auditor's `GET /api/analytics/patients`.
pub(crate) async fn get(table: Table, query: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/analytics/patients{query}"))
        .body(Body::empty())
        .unwrap();
    answer(table, as_caller(request, Role::Auditor)).await
}

pub(crate) async fn answer(table: Table, request: Request<Body>) -> (StatusCode, Value) {
    let routes = query_patient_analytics::routes(AnalyticsTable(table));
    let response = api::around(
        "query-patient-analytics",
        api::AllowedOrigins::default(),
        routes,
    )
    .oneshot(request)
    .await
    .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// The totals of a period, for tests that read what they have counted.
pub(crate) async fn totals(table: Table, query: &str) -> Value {
    let (status, mut body) = get(table, query).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body["totals"].take()
}

//! Events of appointments, and the figures as a client sees them.

use analytics::{
    count_appointment_events::{self, CountError},
    counters::AnalyticsTable,
    query_appointment_analytics,
};
use api::ClinicTimeZone;
use axum::{Extension, body::Body};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use events::{Appointment, AppointmentChange, AppointmentEvent, Batch, Effect};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use serde_json::Value;
use store::Table;
use tower::ServiceExt as _;
use uuid::Uuid;
use zones::Zone;

use crate::delivery::only;

pub(crate) const ARRIVED: AppointmentChange = AppointmentChange::Arrived {
    walk_in: false,
    corrected: false,
};
pub(crate) const CORRECTED: AppointmentChange = AppointmentChange::Arrived {
    walk_in: false,
    corrected: true,
};
pub(crate) const WALKED_IN: AppointmentChange = AppointmentChange::Arrived {
    walk_in: true,
    corrected: false,
};
pub(crate) const CANCELLED: AppointmentChange = AppointmentChange::Cancelled { by_patient: true };

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The first event of an appointment: booked at a time, for half an hour from a time on the clock in
/// a zone, with a clinician in a room.
pub(crate) fn booked(at: &str, local_start: &str, zone: &str) -> AppointmentEvent {
    let mut event = AppointmentEvent {
        id: Uuid::now_v7(),
        occurred_at: instant(at),
        appointment_id: Uuid::now_v7(),
        appointment_version: 1,
        patient_id: Uuid::now_v7(),
        appointment: Appointment {
            service_id: Uuid::from_u128(1),
            service_code: "CONSULT-30".to_owned(),
            location_id: Uuid::from_u128(2),
            resource_ids: vec![Uuid::from_u128(10), Uuid::from_u128(20)],
            clinician_ids: vec![Uuid::from_u128(10)],
            starts_at: instant(at),
            ends_at: instant(at),
            time_zone: zone.to_owned(),
            local_start: NaiveDateTime::default(),
            sequence: 0,
            created_at: instant(at),
            reminder_minutes: Vec::new(),
        },
        change: AppointmentChange::Booked,
    };
    starts(&mut event.appointment, local_start, 30);
    event
}

/// Moves an appointment to this time on the clock.
pub(crate) fn starts(appointment: &mut Appointment, local_start: &str, minutes: i64) {
    appointment.local_start = local_start.parse().unwrap();
    let zone = Zone::named(&appointment.time_zone).unwrap();
    appointment.starts_at = zone.instants(appointment.local_start).first();
    appointment.ends_at = appointment.starts_at + TimeDelta::minutes(minutes);
}

/// What happens to it next.
pub(crate) fn next(
    event: &AppointmentEvent,
    at: &str,
    change: AppointmentChange,
) -> AppointmentEvent {
    AppointmentEvent {
        id: Uuid::now_v7(),
        occurred_at: instant(at),
        appointment_version: event.appointment_version + 1,
        change,
        ..event.clone()
    }
}

/// It is moved to this time on the clock.
pub(crate) fn moved(event: &AppointmentEvent, at: &str, local_start: &str) -> AppointmentEvent {
    let change = AppointmentChange::Rescheduled {
        started_at: event.appointment.starts_at,
        ended_at: event.appointment.ends_at,
        by_time_zone_rules: false,
        location_id: Uuid::nil(),
    };
    let mut event = next(event, at, change);
    let length = event.appointment.ends_at - event.appointment.starts_at;
    starts(&mut event.appointment, local_start, length.num_minutes());
    event
}

/// Counts an event in a clinic in UTC.
pub(crate) async fn count(table: &Table, event: &AppointmentEvent) -> Result<Effect, CountError> {
    in_zone(table, ClinicTimeZone::UTC, event).await
}

/// Counts an event in a clinic in this time zone.
pub(crate) async fn in_zone(
    table: &Table,
    clinic: ClinicTimeZone,
    event: &AppointmentEvent,
) -> Result<Effect, CountError> {
    let batch = Batch::of(0, std::slice::from_ref(event));
    only(count_appointment_events::count(table, clinic, batch).await)
}

pub(crate) async fn count_all(table: &Table, events: &[AppointmentEvent]) {
    for event in events {
        assert_eq!(count(table, event).await.unwrap(), Effect::Applied);
    }
}

pub(crate) async fn answer(
    table: &Table,
    clinic: ClinicTimeZone,
    request: Request<Body>,
) -> (StatusCode, Value) {
    let table = store::testing::table_of(table.name());
    let routes = query_appointment_analytics::routes(AnalyticsTable(table));
    let response = api::around(
        "query-appointment-analytics",
        api::AllowedOrigins::default(),
        routes,
    )
    .layer(Extension(clinic))
    .oneshot(request)
    .await
    .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

/// The response to an auditor's `GET /api/analytics/appointments` in a clinic in UTC.
pub(crate) async fn get(table: &Table, query: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/analytics/appointments{query}"))
        .body(Body::empty())
        .unwrap();
    let request = as_caller(request, Role::Auditor);
    answer(table, ClinicTimeZone::UTC, request).await
}

/// The response, which must be a success.
pub(crate) async fn figures(table: &Table, query: &str) -> Value {
    let (status, body) = get(table, query).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The group of this key.
pub(crate) fn group(body: &Value, key: &str) -> Value {
    let groups = body["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["key"] == key);
    group
        .unwrap_or_else(|| panic!("no {key} in {body}"))
        .clone()
}

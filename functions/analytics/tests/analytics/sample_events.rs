//! The functions accept the samples for `cargo lambda invoke`.

use aws_lambda_events::kafka::KafkaEvent;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use events::{AppointmentEvent, BillingEvent, Effect, Event as _, PatientEvent};
use http::StatusCode;
use store::testing;

use crate::{
    appointment_events::{self, figures, group},
    billing,
    fixtures::{answer, count, totals},
};

#[tokio::test]
async fn the_sample_events_are_counted() {
    let sample = include_str!("../../../../events/count-patient-events.json");
    let sample: KafkaEvent = serde_json::from_str(sample).unwrap();
    let table = testing::table().await;
    let records: Vec<_> = sample.records.into_values().flatten().collect();
    assert_eq!(records.len(), 3);
    for record in records {
        let value = STANDARD.decode(record.value.unwrap()).unwrap();
        let event = PatientEvent::decode(&value).unwrap();
        let key = STANDARD.decode(record.key.unwrap()).unwrap();
        assert_eq!(key, event.patient_id.to_string().as_bytes());
        assert_eq!(count(&table, &event).await.unwrap(), Effect::Applied);
    }
    let totals = totals(table, "?from=2026-01-01&to=2026-12-31").await;
    for counter in ["created", "updated", "deleted"] {
        assert_eq!(totals[counter], 1, "{counter}");
    }
}

#[tokio::test]
async fn the_sample_query_succeeds() {
    let sample = include_str!("../../../../events/query-patient-analytics.json");
    let request = lambda_http::request::from_str(sample).unwrap();
    let request = request.map(|_| axum::body::Body::empty());
    let (status, body) = answer(testing::table().await, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

#[tokio::test]
async fn the_sample_events_of_an_appointment_are_counted() {
    let sample = include_str!("../../../../events/count-appointment-events.json");
    let sample: KafkaEvent = serde_json::from_str(sample).unwrap();
    let table = testing::table().await;
    for record in sample.records.into_values().flatten() {
        let value = STANDARD.decode(record.value.unwrap()).unwrap();
        let event = AppointmentEvent::decode(&value).unwrap();
        assert_eq!(event.encode(), value);
        let key = STANDARD.decode(record.key.unwrap()).unwrap();
        assert_eq!(key, event.patient_id.to_string().as_bytes());
        let effect = appointment_events::count(&table, &event).await;
        assert_eq!(effect.unwrap(), Effect::Applied);
    }
    let body = figures(&table, "?from=2026-01-01&to=2026-01-31").await;
    assert_eq!(group(&body, "2026-01-29")["arrived"], 1);
    assert_eq!(body["totals"]["appointments"], 1);
    assert_eq!(body["totals"]["rescheduled"], 1);
}

#[tokio::test]
async fn the_sample_query_on_appointments_succeeds() {
    let sample = include_str!("../../../../events/query-appointment-analytics.json");
    let request = lambda_http::request::from_str(sample).unwrap();
    let request = request.map(|_| axum::body::Body::empty());
    let table = testing::table().await;
    let clinic = api::ClinicTimeZone::UTC;
    let (status, body) = appointment_events::answer(&table, clinic, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["groupBy"], "provider");
}

#[tokio::test]
async fn the_sample_events_of_billing_are_counted() {
    let sample = include_str!("../../../../events/count-billing-events.json");
    let sample: KafkaEvent = serde_json::from_str(sample).unwrap();
    let table = testing::table().await;
    for record in sample.records.into_values().flatten() {
        let value = STANDARD.decode(record.value.unwrap()).unwrap();
        let event = BillingEvent::decode(&value).unwrap();
        assert_eq!(event.encode(), value);
        let key = STANDARD.decode(record.key.unwrap()).unwrap();
        assert_eq!(key, event.patient_id.to_string().as_bytes());
        let effect = billing::count(&table, &event).await;
        assert_eq!(effect.unwrap(), Effect::Applied);
    }
    let sample = include_str!("../../../../events/query-billing-analytics.json");
    let request = lambda_http::request::from_str(sample).unwrap();
    let request = request.map(|_| axum::body::Body::empty());
    let (status, body) = billing::answer(&table, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let request = http::Request::get("/api/analytics/billing?from=2026-01-15&to=2026-01-15")
        .body(axum::body::Body::empty())
        .unwrap();
    let request = identity::testing::as_caller(request, identity::Role::Auditor);
    let (_, body) = billing::answer(&table, request).await;
    let totals = &body["totals"][0];
    assert_eq!(totals["revenue"]["revenue"]["minorUnits"], 10_000);
    assert_eq!(totals["takings"]["card"]["net"]["minorUnits"], 5000);
    assert_eq!(totals["aging"]["notDue"]["minorUnits"], 6900);
}

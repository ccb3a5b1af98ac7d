//! The functions accept the samples for `cargo lambda invoke`.

use aws_lambda_events::kafka::KafkaEvent;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use events::{Effect, PatientEvent};
use http::StatusCode;
use store::testing;

use crate::fixtures::{answer, count, totals};

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

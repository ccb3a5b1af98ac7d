//! The functions accept the samples for `cargo lambda invoke`.

use aws_lambda_events::kafka::KafkaEvent;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use events::{AppointmentEvent, Effect, PatientEvent};
use http::StatusCode;
use mail::testing::Ses;
use notifications::{
    record_deliveries::{Recorded, record_delivery},
    schedule_messages::Scheduler,
};
use sqlx::PgPool;
use store::testing::table_of;

use crate::fixtures::{answer, notifier};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_new_patient_is_welcomed_and_their_notification_listed(database: PgPool) {
    let sample = include_str!("../../../../events/notify-patients.json");
    let sample: KafkaEvent = serde_json::from_str(sample).unwrap();
    let notifier = notifier(&Ses::start().await, &database).await;
    let records: Vec<_> = sample.records.into_values().flatten().collect();
    assert_eq!(records.len(), 1);
    for record in records {
        let value = STANDARD.decode(record.value.unwrap()).unwrap();
        let event = PatientEvent::decode(&value).unwrap();
        let key = STANDARD.decode(record.key.unwrap()).unwrap();
        assert_eq!(key, event.patient_id.to_string().as_bytes());
        assert_eq!(notifier.notify(&event).await.unwrap(), Effect::Applied);
    }

    let sample = include_str!("../../../../events/list-notifications.json");
    let request = lambda_http::request::from_str(sample).unwrap();
    let request = request.map(|_| axum::body::Body::empty());
    let (status, body) = answer(&database, notifier.table, request).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(
        body["notifications"][0]["recipient"],
        "milo.feil@example.com"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn messages_about_the_new_appointment_are_scheduled(database: PgPool) {
    let sample = include_str!("../../../../events/schedule-appointment-messages.json");
    let sample: KafkaEvent = serde_json::from_str(sample).unwrap();
    let record = sample.records.into_values().flatten().next().unwrap();
    let value = STANDARD.decode(record.value.unwrap()).unwrap();
    let event = AppointmentEvent::decode(&value).unwrap();
    let key = STANDARD.decode(record.key.unwrap()).unwrap();
    assert_eq!(key, event.patient_id.to_string().as_bytes());
    let scheduler = Scheduler { database };
    assert_eq!(scheduler.apply(&event).await.unwrap(), Effect::Applied);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_delivery_of_long_ago_is_read(database: PgPool) {
    let sample = include_str!("../../../../events/record-deliveries.json");
    let sample: serde_json::Value = serde_json::from_str(sample).unwrap();
    let body = sample["Records"][0]["body"].as_str().unwrap();
    assert_eq!(
        record_delivery(body, &database, &table_of("no-welcome"))
            .await
            .unwrap(),
        Recorded::Ignored
    );
}

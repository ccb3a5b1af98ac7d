//! Events from Kafka: regular, repeated and out of order.

use chrono::{Days, NaiveDate};
use contracts::patient::v1::{
    Patient, PatientCreated, PatientDeleted, PatientEvent, patient_event::Change,
};
use identity::Role;
use prost::Message as _;
use prost_types::Timestamp;
use serde_json::{Value, json};
use system_tests::{Clinic, NewPatient, Topic, eventually};
use uuid::Uuid;

/// A day long ago that no other test uses, so that its counts are exact.
pub(crate) fn a_day_of_our_own() -> NaiveDate {
    let days = u64::from_be_bytes(Uuid::new_v4().as_bytes()[..8].try_into().unwrap()) % 300_000;
    NaiveDate::from_ymd_opt(1000, 1, 1).unwrap() + Days::new(days)
}

pub(crate) fn event(
    day: NaiveDate,
    patient_id: Uuid,
    version: u64,
    change: Change,
) -> PatientEvent {
    let noon = day.and_hms_opt(12, 0, 0).unwrap().and_utc();
    PatientEvent {
        event_id: Uuid::now_v7().to_string(),
        occurred_at: Some(Timestamp {
            seconds: noon.timestamp(),
            nanos: 0,
        }),
        patient_id: patient_id.to_string(),
        patient_version: version,
        change: Some(change),
    }
}

pub(crate) fn created(new: &NewPatient) -> Change {
    Change::Created(PatientCreated {
        patient: Some(Patient {
            name: new.name.clone(),
            email: new.email.clone(),
            address: new.address.clone(),
            date_of_birth: new.date_of_birth.clone(),
            registered_date: "2020-01-01".to_owned(),
        }),
        without_welcome: false,
    })
}

#[tokio::test]
async fn a_repeated_event_takes_effect_once() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Auditor).await;
    let topic = Topic::listen().await;
    let (day, patient_id, new) = (a_day_of_our_own(), Uuid::now_v7(), NewPatient::unique());
    let creation = event(day, patient_id, 1, created(&new));
    let deletion = event(day, patient_id, 2, Change::Deleted(PatientDeleted {}));
    for event in [&creation, &creation, &creation, &deletion] {
        let key = patient_id.to_string();
        topic
            .send(0, &key, &event.event_id, event.encode_to_vec())
            .await;
    }

    let path = format!("/api/analytics/patients?from={day}&to={day}");
    // The last event of a partition is counted after those before it.
    let counts = eventually("the last event in the analytics", async || {
        let totals = visitor.get(&path).answers(200).await.json()["totals"].clone();
        (totals["deleted"] == 1).then_some(totals)
    })
    .await;
    let expected = json!({
        "created": 1, "updated": 0, "deleted": 1,
        "restored": 0, "erased": 0, "merged": 0, "unmerged": 0,
        "ageBands": { "0-17": 0, "18-29": 0, "30-44": 1, "45-59": 0, "60-74": 0, "75+": 0 },
    });
    assert_eq!(counts, expected);

    let path = format!("/api/notifications?patientId={patient_id}");
    let notifications = eventually("the notification", async || {
        let list = visitor.get(&path).answers(200).await.json()["notifications"].clone();
        (list[0]["state"] == "SENT").then_some(list)
    })
    .await;
    assert_eq!(notifications.as_array().map(Vec::len), Some(1));
    assert_eq!(clinic.aws().mail_to(&new.email).await.len(), 1);
}

#[tokio::test]
async fn a_creation_that_arrives_after_the_deletion_changes_nothing() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Auditor).await;
    let topic = Topic::listen().await;
    let (day, patient_id, new) = (a_day_of_our_own(), Uuid::now_v7(), NewPatient::unique());
    let later = NewPatient::unique();
    let marker = Uuid::now_v7();
    for event in [
        event(day, patient_id, 2, Change::Deleted(PatientDeleted {})),
        event(day, patient_id, 1, created(&new)),
        event(day, marker, 1, created(&later)),
        event(day, marker, 2, Change::Deleted(PatientDeleted {})),
    ] {
        let key = patient_id.to_string();
        topic
            .send(0, &key, &event.event_id, event.encode_to_vec())
            .await;
    }
    let path = format!("/api/analytics/patients?from={day}&to={day}");
    let totals = eventually("the last event in the analytics", async || {
        let totals = visitor.get(&path).answers(200).await.json()["totals"].clone();
        (totals["deleted"] == 2).then_some(totals)
    })
    .await;
    assert_eq!(totals["created"], 1, "{totals}");
    eventually("the welcome of the marker", async || {
        let mail = clinic.aws().mail_to(&later.email).await;
        (!mail.is_empty()).then_some(())
    })
    .await;
    assert!(clinic.aws().mail_to(&new.email).await.is_empty());
    let path = format!("/api/notifications?patientId={patient_id}");
    let list = visitor.get(&path).answers(200).await.json();
    assert_eq!(list["notifications"], json!([]));
}

#[tokio::test]
async fn a_change_to_a_patient_sends_no_message() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let mut topic = Topic::listen().await;
    let patient = visitor.register_somebody().await;
    let path = format!("/api/notifications?patientId={}", patient.id);
    let welcome = async || -> Option<Value> {
        let list = visitor.get(&path).answers(200).await.json()["notifications"].clone();
        (list[0]["state"] == "SENT").then_some(list)
    };
    eventually("the welcome", welcome).await;
    let change = NewPatient::unique();
    visitor
        .put(&patient.path())
        .json(&change)
        .answers(200)
        .await;
    visitor.delete(&patient.path()).answers(204).await;

    // The consumer processes the records of a partition in order, so when it has reached a later
    // one, it has seen these.
    let partition = topic.records_about(patient.id, 3).await[0].partition;
    let later = NewPatient::unique();
    let marker = event(a_day_of_our_own(), patient.id, 4, created(&later));
    let key = patient.id.to_string();
    topic
        .send(partition, &key, &marker.event_id, marker.encode_to_vec())
        .await;
    eventually("the welcome of the marker", async || {
        let mail = clinic.aws().mail_to(&later.email).await;
        (!mail.is_empty()).then_some(())
    })
    .await;
    assert_eq!(clinic.aws().mail_to(&patient.email).await.len(), 1);
    assert!(clinic.aws().mail_to(&change.email).await.is_empty());
}

//! Records that cannot be decoded: they are set aside, and redriven on request.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{NaiveDate, Utc};
use contracts::patient::v1::{PatientDeleted, patient_event::Change};
use identity::Role;
use prost::Message as _;
use rskafka::record::Record;
use serde_json::{Value, json};
use system_tests::{Clinic, DeadLetter, NewPatient, Process, Restart, Topic, Visitor, eventually};
use uuid::Uuid;

use crate::events::{a_day_of_our_own, created, event};

/// Those of the patients' topic: each of them sets a record aside.
const CONSUMERS: [&str; 3] = [
    "cancel-for-deleted-patients",
    "count-patient-events",
    "notify-patients",
];

fn record(key: &[u8], value: Option<Vec<u8>>) -> Record {
    Record {
        key: Some(key.to_vec()),
        value,
        headers: BTreeMap::new(),
        timestamp: Utc::now(),
    }
}

/// The analytics of a day.
async fn totals(visitor: &Visitor, day: NaiveDate) -> Value {
    let path = format!("/api/analytics/patients?from={day}&to={day}");
    visitor.get(&path).answers(200).await.json()["totals"].clone()
}

/// Takes all dead letters about records with this key, once there are this many.
async fn letters(clinic: &Clinic, key: &[u8], many: usize) -> Vec<DeadLetter> {
    let key = STANDARD.encode(key);
    letters_like(clinic, many, |letter| letter.key.as_ref() == Some(&key)).await
}

/// Takes both dead letters about the record at this offset.
async fn letters_at(clinic: &Clinic, partition: i32, offset: i64) -> Vec<DeadLetter> {
    letters_like(clinic, CONSUMERS.len(), |letter| {
        (letter.partition, letter.offset) == (partition, offset)
    })
    .await
}

async fn letters_like(
    clinic: &Clinic,
    many: usize,
    is_wanted: impl Fn(&DeadLetter) -> bool,
) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    eventually(&format!("{many} dead letters"), async || {
        letters.extend(clinic.aws().take_dead_letters(&is_wanted).await);
        (letters.len() >= many).then_some(())
    })
    .await;
    letters.sort_by(|one, other| (one.offset, &one.consumer).cmp(&(other.offset, &other.consumer)));
    letters
}

async fn redrive(clinic: &Clinic) -> Value {
    let invoked = clinic
        .aws()
        .invoke("redrive-dead-letters", &json!({}))
        .await;
    assert!(!invoked.failed, "{invoked:?}");
    invoked.payload
}

/// A count that other tests may have increased.
fn at_least(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap()
}

#[tokio::test]
async fn records_that_cannot_be_decoded_are_set_aside_and_those_around_them_are_processed() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Auditor).await;
    let topic = Topic::listen().await;
    let (day, patient_id) = (a_day_of_our_own(), Uuid::now_v7());
    let key = patient_id.to_string().into_bytes();
    let change = |version| {
        let change = Change::Deleted(PatientDeleted {});
        event(day, patient_id, version, change).encode_to_vec()
    };
    let whole = event(day, patient_id, 9, created(&NewPatient::unique())).encode_to_vec();
    let odd = |value| Record {
        headers: [
            ("traceparent".to_owned(), b"\xff\xfe no trace \0".to_vec()),
            (String::new(), Vec::new()),
            ("\u{ffff} 🩺".to_owned(), vec![0x80; 300]),
        ]
        .into(),
        ..record(&key, value)
    };
    // A consumer does not need the key.
    let strange_key = Record {
        key: None,
        ..record(&key, Some(change(6)))
    };
    topic
        .send_all(
            1,
            vec![
                record(&key, Some(change(1))),
                record(
                    &key,
                    Some(format!("garbage about {patient_id}").into_bytes()),
                ),
                record(&key, Some(change(2))),
                record(&key, Some(whole[..whole.len() / 2].to_vec())),
                record(&key, Some(change(3))),
                record(&key, Some(Vec::new())),
                record(&key, Some(change(4))),
                record(&key, None),
                odd(Some(change(5))),
                odd(Some(b"odd".to_vec())),
                strange_key,
                record(b"\xff\0 no UUID", Some(change(7))),
                record(&key, Some(change(8))),
            ],
        )
        .await;

    let counted = eventually("the last neighbour in the analytics", async || {
        let totals = totals(&visitor, day).await;
        (totals["deleted"] == 8).then_some(totals)
    })
    .await;
    assert_eq!(counted["created"], 0, "{counted}");
    let letters = letters(&clinic, &key, 15).await;
    assert_eq!(letters.len(), 15, "{letters:#?}");
    let first = letters[0].offset;
    let expected = [
        (0, "not protobuf"),
        (2, "not protobuf"),
        (4, "occurred_at"),
        (6, "no value"),
        (8, "not protobuf"),
    ];
    for (of_one, (offset, reason)) in letters.chunks(3).zip(expected) {
        let consumers: Vec<_> = of_one
            .iter()
            .map(|letter| letter.consumer.as_str())
            .collect();
        assert_eq!(consumers, CONSUMERS);
        for letter in of_one {
            assert_eq!(letter.topic, contracts::PATIENT_EVENTS_TOPIC);
            assert_eq!((letter.partition, letter.offset), (1, first + offset));
            assert!(letter.reason.ends_with(reason), "{}", letter.reason);
            assert!(!letter.too_large);
        }
    }
    assert_eq!(letters[6].value.as_deref(), Some(""));
    assert_eq!(letters[9].value, None);
    assert_eq!(letters[12].headers.len(), 3);
    let header = json!({ "name": "\u{ffff} 🩺", "value": STANDARD.encode([0x80; 300]) });
    assert!(
        letters[12].headers.contains(&header),
        "{:?}",
        letters[12].headers
    );
}

#[tokio::test]
async fn an_undecodable_record_is_redriven_once_and_set_aside_again() {
    let clinic = Clinic::alone();
    let mut topic = Topic::listen().await;
    let key = format!("nobody {}", Uuid::now_v7()).into_bytes();
    let headers = [
        ("twice".to_owned(), b"\xff\0".to_vec()),
        ("traceparent".to_owned(), b"none".to_vec()),
    ];
    let garbage = Record {
        headers: headers.into(),
        ..record(&key, Some(b"\xffgarbage".to_vec()))
    };
    topic.send_all(2, vec![garbage.clone()]).await;
    let set_aside = letters(&clinic, &key, 3).await;
    for letter in &set_aside {
        let message = serde_json::to_string(letter).unwrap();
        clinic.aws().send("dead-letters", &message).await;
    }
    let broken = format!("no letter {}", Uuid::now_v7());
    clinic.aws().send("dead-letters", &broken).await;

    let counts = redrive(&clinic).await;
    assert!(at_least(&counts, "redriven") >= 1, "{counts}");
    assert!(at_least(&counts, "letters") >= 2, "{counts}");
    assert!(at_least(&counts, "left") >= 1, "{counts}");
    let records = topic.records_with_key(&key, 2).await;
    assert_eq!((records[1].partition, records.len()), (2, 2));
    assert_eq!(records[1].record.value, garbage.value);
    assert_eq!(records[1].record.headers, garbage.headers);

    let again = letters(&clinic, &key, 3).await;
    let consumers: Vec<_> = again
        .iter()
        .map(|letter| letter.consumer.as_str())
        .collect();
    assert_eq!(consumers, CONSUMERS);
    assert!(
        again
            .iter()
            .all(|letter| letter.offset == records[1].offset)
    );
    assert_eq!(topic.records_with_key(&key, 2).await.len(), 2);
    clinic.aws().discard_dead_letter(&broken).await;
}

#[tokio::test]
async fn a_redriven_record_that_can_be_decoded_by_now_takes_effect_once() {
    let clinic = Clinic::alone();
    let visitor = clinic.log_in(Role::Auditor).await;
    let mut topic = Topic::listen().await;
    let (day, patient_id, new) = (a_day_of_our_own(), Uuid::now_v7(), NewPatient::unique());
    let registration = event(day, patient_id, 1, created(&new)).encode_to_vec();
    let key = patient_id.to_string();
    let letter = |consumer: &str| {
        json!({
            "consumer": consumer, "topic": contracts::PATIENT_EVENTS_TOPIC,
            "partition": 3, "offset": 1_000_000_000_000_i64, "reason": "not an event: change",
            "tooLarge": false, "key": STANDARD.encode(&key), "value": STANDARD.encode(&registration),
            "headers": [],
        })
        .to_string()
    };
    for run in 1..=2 {
        for consumer in CONSUMERS {
            let letter = letter(consumer);
            clinic.aws().send("dead-letters", &letter).await;
        }
        let counts = redrive(&clinic).await;
        assert!(at_least(&counts, "redriven") >= 1, "{counts}");
        let records = topic.records_with_key(key.as_bytes(), run).await;
        assert_eq!(records.len(), run);
        assert!(records.iter().all(|record| record.partition == 3));
    }
    // Behind both of them on the same partition.
    let marker = event(day, patient_id, 2, Change::Deleted(PatientDeleted {}));
    topic
        .send(3, &key, &marker.event_id, marker.encode_to_vec())
        .await;
    let counted = eventually("the marker in the analytics", async || {
        let totals = totals(&visitor, day).await;
        (totals["deleted"] == 1).then_some(totals)
    })
    .await;
    assert_eq!(counted["created"], 1, "{counted}");
    let mail = eventually("the welcome", async || {
        let mail = clinic.aws().mail_to(&new.email).await;
        (!mail.is_empty()).then_some(mail)
    })
    .await;
    assert_eq!(mail.len(), 1);
}

#[tokio::test]
async fn a_record_too_large_for_the_queue_is_set_aside_and_redriven() {
    let clinic = Clinic::alone();
    let visitor = clinic.log_in(Role::Auditor).await;
    let mut topic = Topic::listen().await;
    let (day, patient_id) = (a_day_of_our_own(), Uuid::now_v7());
    let key = patient_id.to_string().into_bytes();
    let huge = record(&key, Some(vec![0xff; 700_000]));
    let change = Change::Deleted(PatientDeleted {});
    let neighbour = event(day, patient_id, 1, change).encode_to_vec();
    topic
        .send_all(4, vec![huge, record(&key, Some(neighbour))])
        .await;
    eventually("the neighbour in the analytics", async || {
        (totals(&visitor, day).await["deleted"] == 1).then_some(())
    })
    .await;
    let offset = topic.records_with_key(&key, 2).await[0].offset;
    let set_aside = letters_at(&clinic, 4, offset).await;
    assert!(
        set_aside
            .iter()
            .all(|letter| letter.too_large && letter.value.is_none())
    );
    for letter in &set_aside {
        let message = serde_json::to_string(letter).unwrap();
        clinic.aws().send("dead-letters", &message).await;
    }
    redrive(&clinic).await;
    let records = topic.records_with_key(&key, 3).await;
    assert_eq!((records[2].partition, records.len()), (4, 3));
    assert_eq!(records[2].record.value, records[0].record.value);
    letters_at(&clinic, 4, records[2].offset).await;
}

#[tokio::test]
async fn redriving_without_kafka_keeps_the_dead_letters() {
    let clinic = Clinic::alone();
    let key = format!("nobody {}", Uuid::now_v7()).into_bytes();
    let topic = Topic::listen().await;
    topic
        .send_all(5, vec![record(&key, Some(b"garbage".to_vec()))])
        .await;
    let set_aside = letters(&clinic, &key, 3).await;
    for letter in &set_aside {
        let message = serde_json::to_string(letter).unwrap();
        clinic.aws().send("dead-letters", &message).await;
    }
    let restart = Restart::afterwards("kafka");
    Process::of_service(clinic.stack(), "kafka").kill().await;
    let invoked = clinic
        .aws()
        .invoke("redrive-dead-letters", &json!({}))
        .await;
    assert!(invoked.failed, "{invoked:?}");
    restart.now();
    assert_eq!(letters(&clinic, &key, 3).await, set_aside);
}

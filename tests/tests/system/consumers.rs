//! Consumers that are interrupted while processing many events: each event takes effect once.

use std::{fs, path::Path};

use chrono::{NaiveDate, Utc};
use contracts::patient::v1::{PatientDeleted, PatientUpdated, patient_event::Change};
use identity::Role;
use prost::Message as _;
use rskafka::record::Record;
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;
use system_tests::{Clinic, NewPatient, Process, Topic, Visitor, within};
use uuid::Uuid;

use crate::events::{a_day_of_our_own, created, event};

const CONSUMERS: [&str; 2] = ["count-patient-events", "notify-patients"];

/// The number of changes to each patient between registration and deletion: so many that they come in
/// several batches, and can be interrupted in between.
const CHANGES: u64 = 40;

/// Far longer than it takes: after an interruption, a consumer waits before retrying, and waits
/// longer before it takes up a message that another process may be sending.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(3);

/// Some patients from registration to deletion, on a day of their own.
struct Lives {
    day: NaiveDate,
    patients: Vec<(Uuid, NewPatient)>,
}

impl Lives {
    /// Sends their events to this many partitions of the topic.
    async fn send(topic: &Topic, patients: usize, partitions: usize) -> Self {
        let lives = Self {
            day: a_day_of_our_own(),
            patients: (0..patients)
                .map(|_| (Uuid::now_v7(), NewPatient::unique()))
                .collect(),
        };
        let mut records = vec![Vec::new(); partitions];
        for version in 1..=CHANGES + 2 {
            for (number, (id, new)) in lives.patients.iter().enumerate() {
                records[number % partitions].push(lives.record(*id, new, version));
            }
        }
        for (partition, records) in records.into_iter().enumerate() {
            let partition = partition.try_into().unwrap();
            topic.send_all(partition, records).await;
        }
        lives
    }

    fn record(&self, id: Uuid, new: &NewPatient, version: u64) -> Record {
        let change = match (version, created(new)) {
            (1, created) => created,
            (version, Change::Created(created)) if version <= CHANGES + 1 => {
                Change::Updated(PatientUpdated {
                    patient: created.patient,
                })
            }
            _ => Change::Deleted(PatientDeleted {}),
        };
        Record {
            key: Some(id.to_string().into_bytes()),
            value: Some(event(self.day, id, version, change).encode_to_vec()),
            headers: [].into(),
            timestamp: Utc::now(),
        }
    }

    async fn counts(&self, visitor: &Visitor) -> Value {
        let path = format!("/api/analytics/patients?from={0}&to={0}", self.day);
        visitor.get(&path).answers(200).await.json()["totals"].clone()
    }

    /// How many events have been counted, and how many there are.
    async fn progress(&self, visitor: &Visitor) -> (u64, u64) {
        let counts = self.counts(visitor).await;
        let count = |name: &str| counts[name].as_u64().unwrap();
        let patients = u64::try_from(self.patients.len()).unwrap();
        (
            count("created") + count("updated") + count("deleted"),
            patients * (CHANGES + 2),
        )
    }

    /// Waits until more than `before` have been counted. Returns how many, and whether any are
    /// left.
    async fn wait_for_more_than(&self, visitor: &Visitor, before: u64) -> (u64, bool) {
        within(PATIENCE, "more events in the analytics", async || {
            let (counted, all) = self.progress(visitor).await;
            (counted > before || counted == all).then_some((counted, counted < all))
        })
        .await
    }

    /// Waits until all effects of these events are complete, and returns how many messages each
    /// patient got.
    async fn wait_for_the_end(&self, clinic: &Clinic, visitor: &Visitor) -> Vec<usize> {
        within(PATIENCE, "all events in the analytics", async || {
            let (counted, all) = self.progress(visitor).await;
            (counted >= all).then_some(())
        })
        .await;
        let mut messages = Vec::new();
        for (id, new) in &self.patients {
            let path = format!("/api/notifications?patientId={id}");
            let list = within(PATIENCE, "a notification", async || {
                let list = visitor.get(&path).answers(200).await.json()["notifications"].clone();
                (list[0]["state"] == "SENT").then_some(list)
            })
            .await;
            assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
            messages.push(clinic.aws().mail_to(&new.email).await.len());
        }
        let counts = self.counts(visitor).await;
        let patients = self.patients.len();
        let changes = patients * usize::try_from(CHANGES).unwrap();
        assert_eq!(
            [&counts["created"], &counts["updated"], &counts["deleted"]],
            [&json!(patients), &json!(changes), &json!(patients)]
        );
        messages
    }
}

#[tokio::test]
async fn consumers_that_are_killed_repeatedly_count_and_welcome_once() {
    let clinic = Clinic::alone();
    let visitor = clinic.log_in(Role::Auditor).await;
    let topic = Topic::listen().await;
    let lives = Lives::send(&topic, 60, topic.partitions()).await;

    let (mut counted, mut interruptions, mut killed) = (0, 0, 0);
    for _ in 0..4 {
        let (more, is_in_the_middle) = lives.wait_for_more_than(&visitor, counted).await;
        if !is_in_the_middle {
            break;
        }
        counted = more;
        interruptions += 1;
        for consumer in CONSUMERS {
            for process in Process::of_function(clinic.stack(), consumer) {
                killed += usize::from(consumer == "notify-patients");
                process.kill().await;
            }
        }
    }
    assert!(
        interruptions > 0,
        "everything was done before the first kill"
    );
    let messages = lives.wait_for_the_end(&clinic, &visitor).await;
    // A function that dies between sending a message and recording it sends the message again.
    assert!(
        messages.iter().all(|messages| *messages >= 1),
        "{messages:?}"
    );
    let doubled: usize = messages.iter().map(|messages| messages - 1).sum();
    assert!(doubled <= killed, "{doubled} doubled by {killed} kills");
}

#[tokio::test]
async fn event_source_mappings_that_are_disabled_and_enabled_skip_and_repeat_nothing() {
    let clinic = Clinic::alone();
    let visitor = clinic.log_in(Role::Auditor).await;
    let topic = Topic::listen().await;
    // On one partition: several batches, one after another.
    let lives = Lives::send(&topic, 60, 1).await;
    lives.wait_for_more_than(&visitor, 0).await;
    for consumer in CONSUMERS {
        let aws = clinic.aws();
        aws.enable_event_source_mapping(consumer, false).await;
    }
    let (counted, all) = lives.progress(&visitor).await;
    for consumer in CONSUMERS {
        let aws = clinic.aws();
        aws.enable_event_source_mapping(consumer, true).await;
    }
    assert!(
        counted < all,
        "everything was done before the mapping was disabled"
    );
    let messages = lives.wait_for_the_end(&clinic, &visitor).await;
    assert!(
        messages.iter().all(|messages| *messages == 1),
        "{messages:?}"
    );
}

/// A mapping without `ReportBatchItemFailures` would take a report for a success, and lose the rest
/// of the partition.
#[test]
fn every_kafka_mapping_reports_batch_item_failures() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let template: Yaml = serde_yaml_ng::from_str(&fs::read_to_string(template).unwrap()).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let mappings: Vec<_> = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::EventSourceMapping")
        .filter(|(_, mapping)| !mapping["Properties"]["Topics"].is_null())
        .collect();
    assert!(mappings.len() >= 2 * CONSUMERS.len());
    for (name, mapping) in mappings {
        let types = &mapping["Properties"]["FunctionResponseTypes"];
        assert_eq!(types[0], "ReportBatchItemFailures", "{name:?}");
        // A destination would end the retries.
        assert!(
            mapping["Properties"]["DestinationConfig"].is_null(),
            "{name:?}"
        );
    }
}

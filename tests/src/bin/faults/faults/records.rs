//! Records on the topic that the patients service did not send.

use std::{collections::BTreeMap, sync::PoisonError};

use anyhow::Result;
use prost::Message as _;
use system_tests::{PatientRecord, Topic};
use uuid::Uuid;

use super::{FaultKind, Stage};

/// The header by which the checks recognise injected records. Consumers ignore it.
pub(crate) const INJECTED: &str = "injected-fault";

/// How far back old records are taken from, in records per partition.
const BACK: i64 = 200;

/// A record that was injected into the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Injected {
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
    /// Whether it cannot be decoded, so that every consumer has to set it aside.
    pub(crate) unreadable: bool,
}

/// Garbage, half an event and no value at all under keys of their own; garbage under the key of a
/// real patient; and old events of a patient again.
pub(super) async fn bad_records(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::BadRecords);
    let ends = Topic::listen().await.offsets();
    let from = ends.into_iter().map(|(partition, end)| {
        let start = stage.topic.get(&partition).copied().unwrap_or_default();
        (partition, (end - BACK).max(start))
    });
    let from: BTreeMap<_, _> = from.collect();
    let mut topic = Topic::open(&from).await;
    let is_real = |record: &&PatientRecord| !record.headers.contains_key(INJECTED);
    let old: Vec<_> = topic.records().await.iter().filter(is_real).collect();
    let old: Vec<PatientRecord> = old.into_iter().cloned().collect();

    for _ in 0..random.usize(1..=3) {
        let partitions: Vec<_> = from.keys().copied().collect();
        let partition = partitions[random.usize(..partitions.len())];
        let own_key = || format!("fault-{}", Uuid::new_v4());
        let mut garbage = vec![0xff; random.usize(1..200)];
        random.fill(&mut garbage);
        // A wire type that protobuf does not have, so this is garbage whatever follows.
        garbage[0] = 0x0f;
        inject(
            stage,
            &topic,
            partition,
            own_key(),
            Some(garbage.clone()),
            true,
        )
        .await;
        inject(stage, &topic, partition, own_key(), None, true).await;

        let Some(record) = random.choice(&old) else {
            continue;
        };
        let bytes = record.event.encode_to_vec();
        let half = bytes[..random.usize(1..bytes.len())].to_vec();
        inject(stage, &topic, partition, own_key(), Some(half), true).await;
        // Unique to this record, even if the random bytes repeat.
        garbage.extend(Uuid::new_v4().into_bytes());
        let key = record.key.clone();
        inject(
            stage,
            &topic,
            record.partition,
            key.clone(),
            Some(garbage),
            true,
        )
        .await;
        for _ in 0..random.usize(1..=2) {
            let bytes = Some(bytes.clone());
            inject(stage, &topic, record.partition, key.clone(), bytes, false).await;
        }
    }
    Ok(())
}

async fn inject(
    stage: &Stage,
    topic: &Topic,
    partition: i32,
    key: String,
    value: Option<Vec<u8>>,
    unreadable: bool,
) {
    let mark = (INJECTED.to_owned(), FaultKind::BadRecords.name());
    topic
        .put(partition, &key, [mark].into(), value.clone())
        .await;
    let injected = stage.injected.lock();
    injected
        .unwrap_or_else(PoisonError::into_inner)
        .push(Injected {
            key,
            value,
            unreadable,
        });
}

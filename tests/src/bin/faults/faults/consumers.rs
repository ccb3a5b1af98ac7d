//! The consumers: killed while they run, or cut off from the topic.

use anyhow::Result;
use contracts::{APPOINTMENT_EVENTS_TOPIC, BILLING_EVENTS_TOPIC, PATIENT_EVENTS_TOPIC};
use system_tests::Process;

use super::{FaultKind, Stage, stack};
use crate::between;

/// The consumers of patient events.
pub(crate) const PATIENT_CONSUMERS: [&str; 3] = [
    "count-patient-events",
    "notify-patients",
    "cancel-for-deleted-patients",
];

/// All consumers, and the topic that each of them reads.
pub(crate) const CONSUMERS: [(&str, &str); 7] = [
    (PATIENT_CONSUMERS[0], PATIENT_EVENTS_TOPIC),
    (PATIENT_CONSUMERS[1], PATIENT_EVENTS_TOPIC),
    (PATIENT_CONSUMERS[2], PATIENT_EVENTS_TOPIC),
    ("schedule-appointment-messages", APPOINTMENT_EVENTS_TOPIC),
    ("count-appointment-events", APPOINTMENT_EVENTS_TOPIC),
    ("record-appointment-charges", APPOINTMENT_EVENTS_TOPIC),
    ("count-billing-events", BILLING_EVENTS_TOPIC),
];

/// Several times in a row, because most of the time a consumer has nothing to do.
pub(super) async fn killed(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.consumers.lock().await;
    let _fault = stage.begin(FaultKind::ConsumersKilled);
    for _ in 0..random.usize(3..=7) {
        let (consumer, _) = CONSUMERS[random.usize(..CONSUMERS.len())];
        for process in Process::of_function(&stack()?, consumer) {
            process.kill().await;
        }
        tokio::time::sleep(between(random, 50, 600)).await;
    }
    Ok(())
}

/// Disconnects one consumer or more for a while.
pub(super) async fn away(stage: &Stage, random: &mut fastrand::Rng) -> Result<()> {
    let _part = stage.consumers.lock().await;
    // A mapping that cannot reach its broker does not stop immediately.
    let _broker = stage.kafka.lock().await;
    let _fault = stage.begin(FaultKind::ConsumersAway);
    let mut away: Vec<_> = CONSUMERS.iter().map(|(consumer, _)| *consumer).collect();
    random.shuffle(&mut away);
    away.truncate(random.usize(1..=away.len()));
    let aws = stage.clinic().aws();
    for consumer in &away {
        aws.enable_event_source_mapping(consumer, false).await;
    }
    tokio::time::sleep(between(random, 500, 4_000)).await;
    for consumer in &away {
        aws.enable_event_source_mapping(consumer, true).await;
    }
    Ok(())
}

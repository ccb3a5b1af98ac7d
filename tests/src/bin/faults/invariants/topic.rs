//! The events on Kafka.

use std::collections::HashMap;

use chrono::TimeDelta;
use contracts::patient::v1::{PatientEvent, patient_event::Change as Happened};
use system_tests::PatientRecord;

use super::{Evidence, Invariant, changes::announced};
use crate::{faults::FaultKind, ledger::Change};

/// The events of every patient are in the order of the versions, without a gap, and match what was
/// acknowledged.
///
/// A delivery that is interrupted between the record and the deletion from the outbox is repeated,
/// so an event may appear again later: exactly the same one. Those are counted.
pub(super) fn is_in_order(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("the topic has all events once or more, in order");
    for (patient_id, events) in &evidence.events {
        let wrong = disorder(events);
        invariant.check(wrong.is_none(), || {
            format!("patient {patient_id}: {}", wrong.unwrap_or_default())
        });
    }
    let changes = evidence.changes.iter();
    for change in changes.filter(|change| change.is_acknowledged()) {
        invariant.check(is_announced(evidence, change), || {
            let patient_id = change.patient_id.unwrap_or_default();
            format!("{}: no event about it (patient {patient_id})", change.name)
        });
    }
    let (mut adjacent, mut later) = (0, 0);
    for records in evidence.records.values() {
        let mut seen: HashMap<&str, &PatientEvent> = HashMap::new();
        let mut last: Option<&PatientRecord> = None;
        for record in records {
            let event = &record.event;
            if let Some(first) = seen.get(event.event_id.as_str()) {
                invariant.check(*first == event, || {
                    format!(
                        "event {} was repeated with different content",
                        event.event_id
                    )
                });
                if last.is_some_and(|last| last.event.event_id == event.event_id) {
                    adjacent += 1;
                } else {
                    later += 1;
                }
            }
            seen.entry(&event.event_id).or_insert(event);
            last = Some(record);
        }
    }
    invariant.notes.push(format!(
        "{adjacent} events came twice in a row, {later} again after a later event of the same patient"
    ));
    invariant
}

/// How long a delivery may go on that has lost its lock with the database: the timeouts of the call
/// in progress.
const WITHOUT_LOCK: TimeDelta = TimeDelta::seconds(5);

/// One delivery of a patient at a time: it begins with the first message in the outbox, which may
/// have been sent before, and goes on step by step. Two overlapping ones show as a skipped step, in
/// the order in which the records were created. (The broker may store a record late that it
/// received while it was silent.)
///
/// The lock of a delivery disappears with its connection, so a restart of the database excuses
/// overlaps at that time.
pub(super) fn deliveries_are_apart(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("one delivery of a patient at a time");
    let mut excused = 0;
    for (patient_id, records) in &evidence.records {
        let mut records = records.clone();
        records.sort_by_key(|record| (record.timestamp, record.offset));
        let has_no_excuse = |record: &&PatientRecord| !lost_lock(evidence, record);
        let overlapping = overlapping(&records);
        let apart = overlapping.is_empty();
        let unexcused: Vec<_> = overlapping.into_iter().filter(has_no_excuse).collect();
        excused += usize::from(!apart && unexcused.is_empty());
        invariant.check(unexcused.is_empty(), || {
            let versions: Vec<_> = records.iter().map(|it| it.event.patient_version).collect();
            format!("patient {patient_id}: the versions {versions:?} were sent")
        });
    }
    invariant.notes.push(format!(
        "{excused} patients had two deliveries at a time when the database went away"
    ));
    invariant
}

/// The records after which steps were skipped.
fn overlapping<'a>(records: &[&'a PatientRecord]) -> Vec<&'a PatientRecord> {
    let version = |record: &PatientRecord| record.event.patient_version;
    let last = records.iter().map(|record| version(record)).max();
    let pairs = records.windows(2);
    let mut overlapping: Vec<_> = pairs
        .filter(|pair| version(pair[1]) > version(pair[0]) + 1)
        .map(|pair| pair[0])
        .collect();
    overlapping.extend(records.last().filter(|end| Some(version(end)) != last));
    overlapping
}

fn lost_lock(evidence: &Evidence<'_>, record: &PatientRecord) -> bool {
    let mut faults = evidence.observed.faults.iter();
    faults.any(|fault| {
        let window = fault.from..=fault.to + WITHOUT_LOCK;
        fault.kind == FaultKind::Postgres && window.contains(&record.timestamp)
    })
}

fn disorder(events: &[&PatientRecord]) -> Option<String> {
    let versions: Vec<_> = events.iter().map(|it| it.event.patient_version).collect();
    let expected = 1..=events.len() as u64;
    if !expected.eq(versions.iter().copied()) {
        return Some(format!("its events have the versions {versions:?}"));
    }
    // Nobody changes who is deleted or merged away, and nobody returns who is neither.
    let mut state = None;
    for record in events {
        let (from, to) = match &record.event.change {
            Some(Happened::Created(_)) => (&[None][..], State::InUse),
            Some(Happened::Updated(_)) => (&[Some(State::InUse)][..], State::InUse),
            Some(Happened::Deleted(_)) => (&[Some(State::InUse)][..], State::Deleted),
            Some(Happened::Restored(_)) => (&[Some(State::Deleted)][..], State::InUse),
            Some(Happened::Erased(_)) => {
                // A record that was merged goes with the one that continues it.
                (
                    &[Some(State::Deleted), Some(State::Merged)][..],
                    State::Erased,
                )
            }
            Some(Happened::Merged(_)) => (&[Some(State::InUse)][..], State::Merged),
            Some(Happened::Unmerged(_)) => (&[Some(State::Merged)][..], State::InUse),
            None => (&[][..], State::Erased),
        };
        let fits = from.contains(&state);
        state = Some(to);
        if !fits || record.event.patient_id != record.key {
            return Some(format!("event {} is out of place", record.event.event_id));
        }
    }
    None
}

/// Whether there is an event that matches what was acknowledged.
fn is_announced(evidence: &Evidence<'_>, change: &Change) -> bool {
    let events = change.patient_id.and_then(|id| evidence.events.get(&id));
    let mut events = events.into_iter().flatten();
    let Some(told) = change.acknowledged() else {
        return events.any(|record| matches!(record.event.change, Some(Happened::Deleted(_))));
    };
    events.any(|record| {
        let announced = announced(record.event.change.as_ref());
        record.event.patient_version.cast_signed() == told.version
            && announced.is_some_and(|patient| {
                patient.name == told.name
                    && patient.email == told.email
                    && patient.address == told.address
                    && patient.date_of_birth == told.date_of_birth.to_string()
                    && patient.registered_date == told.registered_date.to_string()
            })
    })
}

/// What the events so far make of a patient.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InUse,
    Deleted,
    Merged,
    Erased,
}

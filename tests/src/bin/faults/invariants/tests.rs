//! A run without violations, and one with each possible violation.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use contracts::patient::v1::{
    self, PatientCreated, PatientDeleted, PatientEvent, PatientUpdated,
    patient_event::Change as Happening,
};
use serde_json::json;
use system_tests::{DeadLetter, NewPatient, PATIENT_CONSUMERS, Patient, PatientRecord};
use uuid::Uuid;

use super::check;
use crate::{
    faults::{FaultKind, Happened, Injected},
    ledger::{Change, Kind, Outcome},
    observation::Observation,
};

/// A patient who was created and updated, one who was created and deleted, and a record that cannot
/// be decoded.
struct Run {
    changes: Vec<Change>,
    observed: Observation,
}

fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

pub(super) fn patient(id: Uuid, version: i64, change: &str) -> Patient {
    let (email, address) = (
        format!("{id}@synthea.example"),
        format!("{change}, 1 Main St"),
    );
    let read = json!({
        "id": id,
        "version": version,
        "name": "Zoë Feil",
        "email": email,
        "address": address,
        "dateOfBirth": "1987-03-12",
        "registeredDate": "2020-06-01",
        "recordNumber": "P000001",
        "names": [{ "use": "OFFICIAL", "text": "Zoë Feil" }],
        "identifiers": [],
        "phones": [],
        "emails": [{ "address": email }],
        "addresses": [{ "text": address }],
        "birthDate": { "date": "1987-03-12", "estimated": false },
        "deceased": false,
        "contacts": [],
        "restricted": false,
        "active": true,
        "createdAt": time(),
        "updatedAt": time(),
    });
    serde_json::from_value(read).unwrap()
}

fn change(name: &str, kind: Kind, patient_id: Uuid, told: Option<Patient>) -> Change {
    Change {
        name: name.to_owned(),
        kind,
        key: Uuid::new_v4(),
        patient_id: Some(patient_id),
        wanted: told.as_ref().map(|patient| NewPatient {
            name: patient.name.clone(),
            email: patient.email.clone(),
            address: patient.address.clone(),
            date_of_birth: patient.date_of_birth.to_string(),
            registered_date: None,
        }),
        conditional: false,
        begun: time(),
        attempts: 1,
        outcome: Outcome::Acknowledged {
            patient: told.map(Box::new),
        },
    }
}

pub(super) fn record(patient_id: Uuid, version: u64, change: Happening) -> PatientRecord {
    PatientRecord {
        key: patient_id.to_string(),
        headers: BTreeMap::new(),
        partition: 0,
        offset: 0,
        timestamp: time(),
        event: PatientEvent {
            event_id: Uuid::new_v4().to_string(),
            occurred_at: Some(prost_types::Timestamp {
                seconds: time().timestamp(),
                nanos: 0,
            }),
            patient_id: patient_id.to_string(),
            patient_version: version,
            change: Some(change),
        },
    }
}

pub(super) fn announced(patient: &Patient) -> v1::Patient {
    v1::Patient {
        name: patient.name.clone(),
        email: patient.email.clone(),
        address: patient.address.clone(),
        date_of_birth: patient.date_of_birth.to_string(),
        registered_date: patient.registered_date.to_string(),
    }
}

pub(super) fn versions<const N: usize>(kinds: [&str; N]) -> Vec<(i64, String)> {
    (1..).zip(kinds.map(str::to_owned)).collect()
}

fn good() -> Run {
    let (stays, goes) = (Uuid::now_v7(), Uuid::now_v7());
    let first = patient(stays, 1, "c0-1");
    let second = patient(stays, 2, "c0-2");
    let gone = patient(goes, 1, "c1-1");
    let changes = vec![
        change("c0-1", Kind::Create, stays, Some(first.clone())),
        change("c0-2", Kind::Update, stays, Some(second.clone())),
        change("c1-1", Kind::Create, goes, Some(gone.clone())),
        change("c1-2", Kind::Delete, goes, None),
    ];
    let created = |patient| {
        Happening::Created(PatientCreated {
            patient: Some(announced(patient)),
            without_welcome: false,
        })
    };
    let updated = PatientUpdated {
        patient: Some(announced(&second)),
    };
    let records = vec![
        record(stays, 1, created(&first)),
        record(goes, 1, created(&gone)),
        record(stays, 2, Happening::Updated(updated)),
        record(goes, 2, Happening::Deleted(PatientDeleted {})),
    ];
    let counts = [("created", 2), ("updated", 1), ("deleted", 1), ("30-44", 2)];
    let counts = counts.map(|(kind, count)| (kind.to_owned(), count));
    let letter = |consumer: &str| DeadLetter {
        consumer: consumer.to_owned(),
        topic: "t".to_owned(),
        partition: 0,
        offset: 0,
        reason: "not protobuf".to_owned(),
        too_large: false,
        key: Some(STANDARD.encode("fault-1")),
        value: Some(STANDARD.encode("garbage")),
        headers: Vec::new(),
    };
    let observed = Observation {
        records,
        patients: [(stays, Some(second)), (goes, None)].into(),
        rows: [(stays, 2)].into(),
        history: [
            (stays, versions(["CREATE", "UPDATE"])),
            (goes, versions(["CREATE", "DELETE"])),
        ]
        .into(),
        on_record: [
            (stays, "CREATE_PATIENT"),
            (stays, "UPDATE_PATIENT"),
            (goes, "CREATE_PATIENT"),
            (goes, "DELETE_PATIENT"),
        ]
        .map(|(id, action)| ((id, action.to_owned()), 1))
        .into(),
        trail_is_intact: true,
        accounts: [(stays, "ACTIVE"), (goes, "CLOSED")]
            .map(|(id, state)| (id, vec![state.to_owned()]))
            .into(),
        analytics: [(time().date_naive(), counts.into())].into(),
        notifications: [stays, goes].map(|id| (id, vec!["SENT".to_owned()])).into(),
        mails: [&first, &gone]
            .map(|patient| (patient.email.clone(), vec![time()]))
            .into(),
        letters: PATIENT_CONSUMERS.map(letter).into(),
        injected: vec![Injected {
            key: "fault-1".to_owned(),
            value: Some(b"garbage".to_vec()),
            unreadable: true,
        }],
        ..Observation::default()
    };
    Run { changes, observed }
}

/// The invariants that are violated.
fn broken(run: &Run) -> Vec<&'static str> {
    let invariants = check(&run.changes, &run.observed, None);
    let broken = invariants
        .into_iter()
        .filter(|invariant| !invariant.violations.is_empty());
    broken.map(|invariant| invariant.name).collect()
}

/// The invariants that are violated by a run with this difference.
fn broken_by(difference: impl FnOnce(&mut Run)) -> Vec<&'static str> {
    let mut run = good();
    difference(&mut run);
    broken(&run)
}

const THERE: &str = "every acknowledged change is stored";
const ONCE: &str = "every change happened once, and no rejected one";
const IN_ORDER: &str = "the topic has all events once or more, in order";
const HISTORY: &str = "the history has every version once, in order";
const APART: &str = "one delivery of a patient at a time";
const ON_RECORD: &str = "every change is recorded, and the audit trail is intact";
const ACCOUNTS: &str = "one account for every patient created, closed once deleted";
const ANALYTICS: &str = "analytics equal a recount of the events";
const NOTIFICATIONS: &str = "one notification for every patient created, and sent";
const MAILS: &str = "one welcome for every patient created";
const LETTERS: &str = "undecodable records are set aside, and nothing else";
const PROMISED: &str = "every response is one that the API promises";

#[test]
fn a_run_without_violations_passes() {
    assert_eq!(broken(&good()), [""; 0]);
}

#[test]
fn a_lost_outdated_or_resurrected_patient_is_found() {
    let of = |run: &Run, name: &str| {
        let mut changes = run.changes.iter();
        let change = changes.find(|change| change.name == name).unwrap();
        change.patient_id.unwrap()
    };
    let lost = broken_by(|run| {
        let id = of(run, "c0-2");
        run.observed.patients.insert(id, None);
        run.observed.rows.clear();
    });
    assert_eq!(lost, [THERE, HISTORY]);
    let old = broken_by(|run| {
        let id = of(run, "c0-2");
        let first = run.changes[0].acknowledged().cloned();
        run.observed.patients.insert(id, first);
        run.observed.rows.insert(id, 1);
    });
    assert_eq!(old, [THERE]);
    let half = broken_by(|run| {
        let id = of(run, "c0-2");
        let state = run.observed.patients.get_mut(&id).unwrap();
        state.as_mut().unwrap().name = "Somebody else".to_owned();
    });
    assert_eq!(half, [THERE]);
    let back = broken_by(|run| {
        let id = of(run, "c1-1");
        let gone = run.changes[2].acknowledged().cloned();
        run.observed.patients.insert(id, gone);
        run.observed.rows.insert(id, 1);
    });
    assert_eq!(back, [THERE, HISTORY]);
}

#[test]
fn a_change_that_happened_twice_is_found() {
    let twice = broken_by(|run| {
        let mut again = run.observed.records[2].clone();
        again.event.event_id = Uuid::new_v4().to_string();
        again.event.patient_version = 3;
        let (id, day) = (again.key.parse().unwrap(), time().date_naive());
        run.observed.records.push(again);
        let on_record = &mut run.observed.on_record;
        on_record.insert((id, "UPDATE_PATIENT".to_owned()), 2);
        run.observed.rows.insert(id, 3);
        let state = run.observed.patients.get_mut(&id).unwrap();
        state.as_mut().unwrap().version = 3;
        let counts = run.observed.analytics.get_mut(&day).unwrap();
        counts.insert("updated".to_owned(), 2);
    });
    assert_eq!(twice, [THERE, ONCE, HISTORY]);
    let one_version_for_two = broken_by(|run| {
        let again = run.changes[1].clone();
        run.changes.push(Change {
            name: "c0-3".to_owned(),
            ..again
        });
    });
    assert_eq!(one_version_for_two, [ONCE]);
}

#[test]
fn a_change_that_is_not_recorded_is_found() {
    let update = |run: &Run| {
        let mut keys = run.observed.on_record.keys();
        keys.find(|(_, action)| action == "UPDATE_PATIENT")
            .unwrap()
            .clone()
    };
    let missing = broken_by(|run| {
        let update = update(run);
        run.observed.on_record.remove(&update);
    });
    assert_eq!(missing, [ON_RECORD]);
    let made_up = broken_by(|run| {
        let (id, _) = update(run);
        let deletion = (id, "DELETE_PATIENT".to_owned());
        run.observed.on_record.insert(deletion, 1);
    });
    assert_eq!(made_up, [ON_RECORD]);
    let tampered_with = broken_by(|run| run.observed.trail_is_intact = false);
    assert_eq!(tampered_with, [ON_RECORD]);
    let answered_again = broken_by(|run| {
        let update = update(run);
        run.observed.on_record.insert(update, 2);
    });
    assert_eq!(answered_again, [""; 0]);
}

#[test]
fn a_rejected_change_must_not_have_happened_and_an_unknown_one_may_have() {
    let refused = |status| Outcome::Refused {
        status,
        problem: "p".to_owned(),
    };
    let after_all = broken_by(|run| {
        run.changes[1].conditional = true;
        run.changes[1].outcome = refused(412);
    });
    assert_eq!(after_all, [THERE, ONCE]);
    let unknown = broken_by(|run| {
        run.changes[1].outcome = Outcome::Unknown;
        run.changes[3].outcome = Outcome::Unknown;
    });
    assert_eq!(unknown, [""; 0]);
    let without_reason = broken_by(|run| {
        let mut more = run.changes[1].clone();
        more.wanted.as_mut().unwrap().address = "c0-3, 1 Main St".to_owned();
        more.outcome = refused(409);
        run.changes.push(more);
    });
    assert_eq!(without_reason, [PROMISED]);
}

#[test]
fn a_topic_with_gaps_or_disorder_is_found() {
    let lost = broken_by(|run| {
        run.observed.records.remove(2);
        let day = time().date_naive();
        let counts = run.observed.analytics.get_mut(&day).unwrap();
        counts.remove("updated");
    });
    assert_eq!(lost, [ONCE, IN_ORDER, HISTORY, ON_RECORD]);
    let swapped = broken_by(|run| run.observed.records.swap(0, 2));
    assert_eq!(swapped, [IN_ORDER, APART, HISTORY]);
    let again = broken_by(|run| {
        let again = run.observed.records[0].clone();
        run.observed.records.insert(0, again);
    });
    assert_eq!(again, [""; 0]);
    let again_and_different = broken_by(|run| {
        let mut again = run.observed.records[0].clone();
        again.event.patient_version = 7;
        run.observed.records.push(again);
    });
    assert_eq!(again_and_different, [IN_ORDER, APART]);
}

#[test]
fn overlapping_deliveries_are_found() {
    // The versions of the first patient, in the order of sending.
    let sent = |run: &mut Run, order: &[usize]| {
        let first = run.observed.records[0].clone();
        let second = run.observed.records[2].clone();
        run.observed
            .records
            .retain(|record| record.key != first.key);
        let sent = order
            .iter()
            .zip(0..)
            .map(|(number, seconds)| PatientRecord {
                timestamp: time() + TimeDelta::seconds(seconds),
                ..[&first, &second][*number - 1].clone()
            });
        run.observed.records.extend(sent);
    };
    assert_eq!(broken_by(|run| sent(run, &[1, 1, 2])), [""; 0]);
    assert_eq!(broken_by(|run| sent(run, &[1, 2, 1, 1, 2])), [""; 0]);
    assert_eq!(broken_by(|run| sent(run, &[1, 2, 1])), [APART]);
    let stored_late = broken_by(|run| {
        sent(run, &[1, 2, 1]);
        run.observed.records.last_mut().unwrap().timestamp = time();
    });
    assert_eq!(stored_late, [""; 0]);
    let without_database = broken_by(|run| {
        sent(run, &[1, 2, 1]);
        run.observed.faults = vec![Happened {
            kind: FaultKind::Postgres,
            from: time(),
            to: time() + TimeDelta::seconds(1),
        }];
    });
    assert_eq!(without_database, [""; 0]);
}

#[test]
fn missing_and_duplicate_consequences_are_found() {
    let first = |run: &Run| run.changes[0].patient_id.unwrap();
    let no_account = broken_by(|run| {
        run.observed.accounts.remove(&first(run));
    });
    assert_eq!(no_account, [ACCOUNTS]);
    let an_account_for_nobody = broken_by(|run| {
        let account = vec!["ACTIVE".to_owned()];
        run.observed.accounts.insert(Uuid::now_v7(), account);
    });
    assert_eq!(an_account_for_nobody, [ACCOUNTS]);
    let in_states = |change: usize, states: &[&str]| {
        let states = states.iter().map(|&state| state.to_owned()).collect();
        broken_by(|run| {
            let patient = run.changes[change].patient_id.unwrap();
            run.observed.accounts.insert(patient, states);
        })
    };
    let (stays, goes) = (0, 2);
    assert_eq!(in_states(goes, &["ACTIVE"]), [ACCOUNTS]);
    assert_eq!(in_states(stays, &["CLOSED"]), [ACCOUNTS]);
    assert_eq!(in_states(stays, &["ACTIVE", "ACTIVE"]), [ACCOUNTS]);
    for kind in ["created", "updated", "deleted", "30-44", "75+"] {
        let miscounted = broken_by(|run| {
            let day = time().date_naive();
            let counts = run.observed.analytics.get_mut(&day).unwrap();
            *counts.entry(kind.to_owned()).or_default() += 1;
        });
        assert_eq!(miscounted, [ANALYTICS], "{kind}");
    }
    for states in [&[][..], &["PENDING"], &["SENT", "SENT"]] {
        let states: Vec<_> = states.iter().map(|&state| state.to_owned()).collect();
        let wrong = broken_by(|run| drop(run.observed.notifications.insert(first(run), states)));
        assert_eq!(wrong, [NOTIFICATIONS]);
    }
    let no_mail = broken_by(|run| run.observed.mails = HashMap::new());
    assert_eq!(no_mail, [MAILS]);
}

#[test]
fn a_second_welcome_is_accepted_only_with_a_fault_that_explains_it() {
    let twice = |run: &mut Run| {
        for mails in run.observed.mails.values_mut() {
            mails.push(time() + TimeDelta::seconds(20));
        }
    };
    assert_eq!(broken_by(twice), [MAILS]);
    let fault = |kind, seconds| Happened {
        kind,
        from: time() + TimeDelta::seconds(seconds),
        to: time() + TimeDelta::seconds(seconds + 1),
    };
    let explained = broken_by(|run| {
        twice(run);
        run.observed.faults = vec![fault(FaultKind::ConsumersKilled, 2)];
    });
    assert_eq!(explained, [""; 0]);
    let too_late = |about: &[usize], seconds| {
        broken_by(|run| {
            twice(run);
            let at = time() + TimeDelta::seconds(seconds);
            let events = about
                .iter()
                .map(|place| &run.observed.records[*place].event);
            let timed_out = events.map(|event| (event.event_id.clone(), at));
            run.observed.timed_out = timed_out.collect();
        })
    };
    let (both, another) = ([0, 1], [2]);
    assert_eq!(too_late(&both, 5), [""; 0]);
    assert_eq!(too_late(&both, 30), [MAILS]);
    assert_eq!(too_late(&another, 5), [MAILS]);
    let otherwise = broken_by(|run| {
        twice(run);
        run.observed.faults = vec![
            fault(FaultKind::BillingKilled, 0),
            fault(FaultKind::ConsumersKilled, 12),
        ];
    });
    assert_eq!(otherwise, [MAILS]);
}

#[test]
fn every_consumer_sets_aside_an_undecodable_record_and_no_valid_one() {
    let one_consumer = broken_by(|run| drop(run.observed.letters.pop()));
    assert_eq!(one_consumer, [LETTERS]);
    let a_good_one = broken_by(|run| {
        let mut letter = run.observed.letters[0].clone();
        letter.key = Some(STANDARD.encode(run.observed.records[0].key.as_bytes()));
        run.observed.letters.push(letter);
    });
    assert_eq!(a_good_one, [LETTERS]);
}

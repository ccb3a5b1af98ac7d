//! What the clients were told, and what is stored.

use std::collections::HashMap;

use contracts::patient::v1::{Patient as Announced, patient_event};
use system_tests::{NewPatient, Patient};
use uuid::Uuid;

use super::{Evidence, Invariant};
use crate::ledger::{Change, Kind, Outcome};

/// Every patient is as the last acknowledged change left them. A change with an unknown outcome may
/// have happened or not, but not in part.
pub(super) fn are_there(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every acknowledged change is stored");
    for change in evidence.changes {
        let Outcome::Acknowledged { patient } = &change.outcome else {
            continue;
        };
        let told = match (&change.wanted, patient) {
            (Some(wanted), Some(patient)) => is_as_wanted(patient, wanted),
            (None, None) => change.kind == Kind::Delete,
            (None, Some(_)) => change.kind == Kind::Restore,
            (Some(_), None) => false,
        };
        invariant.check(told, || {
            format!("{}: the response is not what was requested", change.name)
        });
    }
    for (patient_id, changes) in by_patient(evidence.changes) {
        let state = evidence.observed.patients.get(&patient_id);
        let state = state.and_then(Option::as_ref);
        let row = evidence.observed.rows.get(&patient_id);
        let wrong = state_is_wrong(&changes, state).or_else(|| {
            (state.map(|patient| patient.version) != row.copied())
                .then(|| format!("the database has version {row:?}, the API returns another"))
        });
        invariant.check(wrong.is_none(), || {
            format!("patient {patient_id}: {}", wrong.unwrap_or_default())
        });
    }
    invariant
}

/// The changes whose patient is known.
fn by_patient(changes: &[Change]) -> HashMap<Uuid, Vec<&Change>> {
    let mut patients: HashMap<_, Vec<_>> = HashMap::new();
    for change in changes {
        if let Some(patient_id) = change.patient_id {
            patients.entry(patient_id).or_default().push(change);
        }
    }
    patients
}

fn state_is_wrong(changes: &[&Change], state: Option<&Patient>) -> Option<String> {
    let of = |kind| move |change: &&&Change| change.kind == kind;
    // A patient who is restored is so by the client that has deleted them, and afterwards.
    let ends = changes.iter().filter(|change| {
        change.is_acknowledged() && matches!(change.kind, Kind::Delete | Kind::Restore)
    });
    let last_end = ends.max_by_key(|change| change.begun);
    let may_be_restored = changes
        .iter()
        .filter(of(Kind::Restore))
        .any(|change| change.is_unknown());
    let was_deleted = last_end.is_some_and(|change| change.kind == Kind::Delete);
    let is_deleted = was_deleted && !may_be_restored;
    let mut deletions = changes.iter().filter(of(Kind::Delete));
    let may_be_deleted = was_deleted || deletions.any(|change| change.is_unknown());
    let told = changes.iter().filter_map(|change| change.acknowledged());
    let last = told.max_by_key(|patient| patient.version);
    match (state, last) {
        (Some(_), _) if is_deleted => Some("deleted, but still stored".to_owned()),
        (None, _) if is_deleted || may_be_deleted => None,
        (None, None) => None,
        (None, Some(_)) => Some("lost".to_owned()),
        (Some(state), Some(last)) if state.version < last.version => Some(format!(
            "version {} was acknowledged, but {} is stored",
            last.version, state.version
        )),
        (Some(state), Some(last)) if state.version == last.version => (state != last).then(|| {
            format!(
                "version {} differs from what was acknowledged",
                state.version
            )
        }),
        (Some(state), _) => {
            let unknown = changes.iter().filter(|change| change.is_unknown());
            let mut wanted = unknown.filter_map(|change| change.wanted.as_ref());
            // A restoration leaves the patient as they were.
            let is_whole = may_be_restored || wanted.any(|wanted| is_as_wanted(state, wanted));
            (!is_whole).then(|| format!("nobody requested version {}", state.version))
        }
    }
}

/// Every change happened once, however often it was requested; rejected changes did not happen, and
/// nothing happened that nobody requested.
pub(super) fn happened_once(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every change happened once, and no rejected one");
    // Every change is unique in what it requests.
    let mut effects: HashMap<&str, u32> = HashMap::new();
    let mut ends: HashMap<(Uuid, Kind), u32> = HashMap::new();
    for (patient_id, events) in evidence.of_clients() {
        for record in events {
            let change = record.event.change.as_ref();
            match announced(change) {
                Some(_) if matches!(change, Some(patient_event::Change::Restored(_))) => {
                    *ends.entry((*patient_id, Kind::Restore)).or_default() += 1;
                }
                Some(patient) => *effects.entry(&patient.address).or_default() += 1,
                None => *ends.entry((*patient_id, Kind::Delete)).or_default() += 1,
            }
        }
    }
    let mut may_have_ended: HashMap<(Uuid, Kind), (u32, u32)> = HashMap::new();
    for change in evidence.changes {
        if let Some(wanted) = &change.wanted {
            let times = effects.remove(wanted.address.as_str()).unwrap_or_default();
            let fine = match change.outcome {
                Outcome::Acknowledged { .. } => times == 1,
                Outcome::Refused { .. } => times == 0,
                Outcome::Unknown => times <= 1,
            };
            invariant.check(fine, || {
                format!("{} ({}) happened {times} times", change.name, told(change))
            });
        } else if let Some(patient_id) = change.patient_id {
            let (certain, possible) = may_have_ended.entry((patient_id, change.kind)).or_default();
            *certain += u32::from(change.is_acknowledged());
            *possible += u32::from(change.is_acknowledged() || change.is_unknown());
        }
    }
    for ((patient_id, kind), (certain, possible)) in may_have_ended {
        let times = ends.remove(&(patient_id, kind)).unwrap_or_default();
        invariant.check((certain..=possible).contains(&times), || {
            format!("patient {patient_id}: {certain} times {kind:?} acknowledged, {times} happened")
        });
    }
    let unasked = effects.into_keys().map(|address| {
        let name = address.split_once(',').map_or("?", |(name, _)| name);
        format!("{name} happened but was not requested")
    });
    invariant.violations.extend(unasked);
    let unasked = ends.into_keys();
    let unasked = unasked
        .map(|(id, kind)| format!("{kind:?} of patient {id} happened, but nobody requested it"));
    invariant.violations.extend(unasked);
    let mut versions: HashMap<_, Vec<_>> = HashMap::new();
    for change in evidence.changes {
        if let Some(patient) = change.acknowledged() {
            let version = (patient.id, patient.version);
            versions.entry(version).or_default().push(&change.name);
        }
    }
    for ((patient_id, version), names) in versions {
        invariant.check(names.len() == 1, || {
            format!("patient {patient_id}: version {version} was acknowledged to {names:?}")
        });
    }
    let unknown = evidence.changes.iter().filter(|change| change.is_unknown());
    invariant.notes.push(format!(
        "for {} changes, the client did not wait for the response",
        unknown.count()
    ));
    invariant
}

/// Every change that happened is in the audit trail, and no other.
pub(super) fn are_on_record(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every change is recorded, and the audit trail is intact");
    let observed = evidence.observed;
    invariant.check(observed.trail_is_intact, || {
        "a record is missing, or was changed".to_owned()
    });
    for (patient_id, events) in evidence.of_clients() {
        let mut happened: HashMap<&str, i64> = HashMap::new();
        for record in events {
            *happened
                .entry(action(record.event.change.as_ref()))
                .or_default() += 1;
        }
        for name in [
            "CREATE_PATIENT",
            "UPDATE_PATIENT",
            "DELETE_PATIENT",
            "RESTORE_PATIENT",
        ] {
            let happened = happened.get(name).copied().unwrap_or_default();
            let on_record = observed.on_record.get(&(*patient_id, name.to_owned()));
            let on_record = on_record.copied().unwrap_or_default();
            // A replayed response is recorded again.
            let fine = on_record >= happened && (on_record == 0 || happened > 0);
            invariant.check(fine, || {
                format!("patient {patient_id}: {name} happened {happened} times and is recorded {on_record} times")
            });
        }
    }
    invariant
}

/// Every event is a version in the history of its patient, in order and without a gap, and the history
/// of a patient who is gone ends with the deletion.
pub(super) fn are_in_history(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("the history has every version once, in order");
    for (patient_id, events) in evidence.of_clients() {
        let history = evidence.observed.history.get(patient_id);
        let history = history.map(Vec::as_slice).unwrap_or_default();
        let happened = events.iter().map(|record| {
            let version = record.event.patient_version.cast_signed();
            (version, kind(record.event.change.as_ref()).to_owned())
        });
        invariant.check(happened.eq(history.iter().cloned()), || {
            format!("patient {patient_id}: the history is {history:?}")
        });
        let is_there = evidence.observed.rows.contains_key(patient_id);
        let is_over = history.last().is_none_or(|(_, kind)| kind == "DELETE");
        invariant.check(is_there != is_over, || {
            format!("patient {patient_id}: the history does not end as the patient did")
        });
    }
    invariant
}

/// The history's name for what an event announces.
const fn kind(change: Option<&patient_event::Change>) -> &'static str {
    match change {
        Some(patient_event::Change::Created(_)) => "CREATE",
        Some(patient_event::Change::Updated(_)) => "UPDATE",
        Some(patient_event::Change::Deleted(_)) => "DELETE",
        Some(patient_event::Change::Restored(_)) => "RESTORE",
        Some(patient_event::Change::Merged(_)) => "MERGE",
        Some(patient_event::Change::Unmerged(_)) => "UNMERGE",
        Some(patient_event::Change::Erased(_)) | None => "?",
    }
}

/// The audit trail's name for what an event announces.
const fn action(change: Option<&patient_event::Change>) -> &'static str {
    match change {
        Some(patient_event::Change::Created(_)) => "CREATE_PATIENT",
        Some(patient_event::Change::Updated(_)) => "UPDATE_PATIENT",
        Some(patient_event::Change::Restored(_)) => "RESTORE_PATIENT",
        Some(patient_event::Change::Erased(_)) => "ERASE_PATIENT",
        Some(patient_event::Change::Merged(_)) => "MERGE_PATIENTS",
        Some(patient_event::Change::Unmerged(_)) => "UNDO_MERGE",
        Some(patient_event::Change::Deleted(_)) | None => "DELETE_PATIENT",
    }
}

fn told(change: &Change) -> String {
    match &change.outcome {
        Outcome::Acknowledged { .. } => "acknowledged".to_owned(),
        Outcome::Refused { status, .. } => format!("rejected with {status}"),
        Outcome::Unknown => "unknown".to_owned(),
    }
}

/// The patient in an event, unless the event announces that there is one no more.
pub(super) fn announced(change: Option<&patient_event::Change>) -> Option<&Announced> {
    match change? {
        patient_event::Change::Created(created) => created.patient.as_ref(),
        patient_event::Change::Updated(updated) => updated.patient.as_ref(),
        patient_event::Change::Restored(restored) => restored.patient.as_ref(),
        patient_event::Change::Unmerged(unmerged) => unmerged.patient.as_ref(),
        patient_event::Change::Deleted(_)
        | patient_event::Change::Erased(_)
        | patient_event::Change::Merged(_) => None,
    }
}

fn is_as_wanted(patient: &Patient, wanted: &NewPatient) -> bool {
    let registered = wanted.registered_date.as_ref();
    patient.name == wanted.name
        && patient.email == wanted.email
        && patient.address == wanted.address
        && patient.date_of_birth.to_string() == wanted.date_of_birth
        && registered.is_none_or(|date| *date == patient.registered_date.to_string())
}

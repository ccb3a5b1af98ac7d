//! Two records that are made one, and two again.

use system_tests::Patient;
use uuid::Uuid;

use super::{Evidence, Invariant};
use crate::merges::{Pair, Step};

/// Every pair is as its client was told last, both records of it: merged, two as before, or gone.
pub(super) fn are_whole(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("two records are one or two, never something between");
    let observed = evidence.observed;
    let state = |id: Uuid| observed.patients.get(&id).and_then(Option::as_ref);
    for pair in evidence.pairs() {
        let [one, other] = &pair.both;
        let is_whole = match pair.steps.last() {
            None => state(one.id) == Some(one) && state(other.id) == Some(other),
            Some(Step::Merged {
                survivor,
                duplicate,
                ..
            }) => {
                let into = state(*duplicate).filter(|duplicate| !duplicate.active);
                state(survivor.id) == Some(survivor)
                    && into.is_some_and(|duplicate| duplicate.merged_into == Some(survivor.id))
            }
            Some(Step::Undone {
                survivor,
                duplicate,
            }) => state(survivor.id) == Some(survivor) && state(duplicate.id) == Some(duplicate),
            Some(Step::Deleted { .. } | Step::Erased) => {
                state(one.id).is_none() && state(other.id).is_none()
            }
        };
        invariant.check(is_whole, || {
            let (one, other) = (state(one.id), state(other.id));
            format!("{}: after {:?}: {one:?}, {other:?}", pair.name, pair.steps)
        });
        for step in &pair.steps {
            let Step::Undone {
                survivor,
                duplicate,
            } = step
            else {
                continue;
            };
            for patient in [survivor, duplicate] {
                invariant.check(is_as_before(pair, patient), || {
                    format!("{}: undone, and {} is not as before", pair.name, patient.id)
                });
            }
        }
    }
    invariant
}

/// Whether a record is as it was registered, as another version.
fn is_as_before(pair: &Pair, patient: &Patient) -> bool {
    let mut both = pair.both.iter();
    let before = both.find(|before| before.id == patient.id);
    before.is_some_and(|before| {
        let same = Patient {
            version: before.version,
            updated_at: before.updated_at,
            ..patient.clone()
        };
        same == *before
    })
}

/// Every merge and every undoing happened once to both records: in the history, on the topic, in
/// the audit trail, and in the table that merges are undone from.
pub(super) fn happened_once(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant =
        Invariant::new("every merge and its undoing happened once, to both records");
    let observed = evidence.observed;
    for pair in evidence.pairs() {
        let is_erased = matches!(pair.steps.last(), Some(Step::Erased));
        for id in pair.ids() {
            let history = observed.history.get(&id).map(Vec::as_slice);
            let history = history.unwrap_or_default().iter().cloned();
            let expected = expected_history(pair, id);
            let events = evidence.events.get(&id).map_or(0, Vec::len);
            invariant.check(events == expected.len() + usize::from(is_erased), || {
                format!(
                    "{}: {events} events about {id}, who had {expected:?}",
                    pair.name
                )
            });
            let expected = if is_erased { Vec::new() } else { expected };
            let is_it = history
                .clone()
                .eq((1..).zip(expected.iter().map(|&kind| kind.to_owned())));
            invariant.check(is_it, || {
                let history: Vec<_> = history.collect();
                format!(
                    "{}: the history of {id} is {history:?}, not {expected:?}",
                    pair.name
                )
            });
        }
        let of = |wanted: fn(&Step) -> bool| pair.steps.iter().filter(|step| wanted(step)).count();
        let merged = of(|step| matches!(step, Step::Merged { .. }));
        let undone = of(|step| matches!(step, Step::Undone { .. }));
        let stored = if is_erased { (0, 0) } else { (merged, undone) };
        let ids = pair.ids();
        let rows = observed
            .merges
            .iter()
            .filter(|row| ids.contains(&row.survivor));
        let found = (
            rows.clone().count(),
            rows.filter(|row| row.is_undone).count(),
        );
        invariant.check(found == stored, || {
            format!(
                "{}: {found:?} merges and undone ones are stored, not {stored:?}",
                pair.name
            )
        });
        for (action, times) in [("MERGE_PATIENTS", merged), ("UNDO_MERGE", undone)] {
            let on_record = ids.iter().map(|id| {
                let key = (*id, action.to_owned());
                observed.on_record.get(&key).copied().unwrap_or_default()
            });
            let on_record: i64 = on_record.sum();
            // A replayed response is recorded again.
            let times = i64::try_from(times).unwrap_or(i64::MAX);
            invariant.check(
                on_record >= times && (on_record == 0) == (times == 0),
                || {
                    format!(
                        "{}: {times} times {action}, {on_record} on record",
                        pair.name
                    )
                },
            );
        }
    }
    invariant
}

/// The kinds of the versions of one of the two.
fn expected_history(pair: &Pair, id: Uuid) -> Vec<&'static str> {
    let steps = pair.steps.iter().filter_map(|step| match step {
        Step::Merged { .. } => Some("MERGE"),
        Step::Undone { .. } => Some("UNMERGE"),
        Step::Deleted { survivor } => (*survivor == id).then_some("DELETE"),
        Step::Erased => None,
    });
    std::iter::once("CREATE").chain(steps).collect()
}

/// No request of a merging client was rejected that should not have been.
pub(super) fn refusals(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every merge, undoing and erasure succeeds");
    for pair in &evidence.observed.pairs {
        let failure = pair.failure.as_deref();
        invariant.check(failure.is_none(), || {
            format!("{}: {}", pair.name, failure.unwrap_or_default())
        });
    }
    invariant
}

#[cfg(test)]
mod tests {
    use contracts::patient::v1::{
        PatientCreated, PatientErased, PatientMerged, PatientUnmerged, PatientUpdated,
        patient_event::Change,
    };

    use super::{
        super::tests::{announced, patient, record, versions},
        *,
    };
    use crate::observation::{Merge, Observation};

    /// Two who were merged, undone, and merged again.
    fn good() -> Observation {
        let [one, other] = [Uuid::now_v7(), Uuid::now_v7()];
        let version = |id, version| patient(id, version, "m0-1");
        let merged = |version| Step::Merged {
            id: Uuid::now_v7(),
            survivor: Box::new(patient(one, version, "m0-1")),
            duplicate: other,
        };
        let undone = Step::Undone {
            survivor: Box::new(version(one, 3)),
            duplicate: Box::new(version(other, 3)),
        };
        let pair = Pair {
            name: "m0-1".to_owned(),
            both: [version(one, 1), version(other, 1)],
            steps: vec![merged(2), undone, merged(4)],
            failure: None,
        };
        let gone = Patient {
            active: false,
            merged_into: Some(one),
            ..version(other, 4)
        };
        let seen = |id| Some(announced(&version(id, 1)));
        let created = |id| {
            let created = PatientCreated {
                patient: seen(id),
                without_welcome: false,
            };
            record(id, 1, Change::Created(created))
        };
        let updated = |version| {
            let updated = PatientUpdated { patient: seen(one) };
            record(one, version, Change::Updated(updated))
        };
        let into = |version| {
            let merged = PatientMerged {
                survivor_id: one.to_string(),
            };
            record(other, version, Change::Merged(merged))
        };
        let again = PatientUnmerged {
            patient: seen(other),
        };
        let row = |is_undone| Merge {
            survivor: one,
            is_undone,
        };
        let kinds = || versions(["CREATE", "MERGE", "UNMERGE", "MERGE"]);
        Observation {
            records: vec![
                created(one),
                created(other),
                into(2),
                updated(2),
                record(other, 3, Change::Unmerged(again)),
                updated(3),
                into(4),
                updated(4),
            ],
            patients: [(one, Some(version(one, 4))), (other, Some(gone))].into(),
            history: [(one, kinds()), (other, kinds())].into(),
            on_record: [("MERGE_PATIENTS", 2), ("UNDO_MERGE", 1)]
                .map(|(action, times)| ((one, action.to_owned()), times))
                .into(),
            pairs: vec![pair],
            merges: vec![row(true), row(false)],
            ..Observation::default()
        }
    }

    /// How often each of the three is violated by a run with this difference.
    fn broken_by(difference: impl FnOnce(&mut Observation, [Uuid; 2])) -> [usize; 3] {
        let mut observed = good();
        let ids = observed.pairs[0].ids();
        difference(&mut observed, ids);
        let evidence = Evidence::new(&[], &observed);
        [are_whole, happened_once, refusals].map(|invariant| invariant(&evidence).violations.len())
    }

    #[test]
    fn a_run_without_violations_passes() {
        assert_eq!(broken_by(|_, _| {}), [0, 0, 0]);
    }

    #[test]
    fn half_a_merge_is_found() {
        let one_remains = broken_by(|run, [_, other]| {
            run.patients.insert(other, Some(patient(other, 3, "m0-1")));
        });
        assert_eq!(one_remains, [1, 0, 0]);
        let other_is_lost = broken_by(|run, [_, other]| {
            run.patients.insert(other, None);
        });
        assert_eq!(other_is_lost, [1, 0, 0]);
        let survivor_is_old = broken_by(|run, [one, _]| {
            run.patients.insert(one, Some(patient(one, 3, "m0-1")));
        });
        assert_eq!(survivor_is_old, [1, 0, 0]);
    }

    #[test]
    fn an_undoing_that_leaves_something_behind_is_found() {
        let something_remains = broken_by(|run, _| {
            let Step::Undone { survivor, .. } = &mut run.pairs[0].steps[1] else {
                panic!("the second step is the undoing");
            };
            survivor.phones.push("+1 617 555 0100".into());
        });
        assert_eq!(something_remains, [1, 0, 0]);
    }

    #[test]
    fn a_merge_that_happened_twice_or_to_one_of_the_two_is_found() {
        let not_in_history = broken_by(|run, [_, other]| {
            run.history.get_mut(&other).unwrap().pop();
        });
        assert_eq!(not_in_history, [0, 1, 0]);
        let not_announced = broken_by(|run, _| {
            run.records.pop();
        });
        assert_eq!(not_announced, [0, 1, 0]);
        let twice = broken_by(|run, _| run.merges.push(run.merges[1].clone()));
        assert_eq!(twice, [0, 1, 0]);
        let not_on_record = broken_by(|run, _| run.on_record.clear());
        assert_eq!(not_on_record, [0, 2, 0]);
    }

    #[test]
    fn who_is_erased_leaves_no_history() {
        let erase = |run: &mut Observation, [one, other]: [Uuid; 2]| {
            let survivor = one;
            run.pairs[0].steps.push(Step::Deleted { survivor });
            run.pairs[0].steps.push(Step::Erased);
            run.patients = [(one, None), (other, None)].into();
            run.history.clear();
            run.merges.clear();
            for (id, version) in [(one, 5), (one, 6), (other, 5)] {
                let event = record(id, version, Change::Erased(PatientErased {}));
                run.records.push(event);
            }
        };
        assert_eq!(broken_by(erase), [0, 0, 0]);
        let history_remains = broken_by(|run, ids| {
            erase(run, ids);
            run.history.insert(ids[1], versions(["CREATE", "MERGE"]));
        });
        assert_eq!(history_remains, [0, 1, 0]);
    }

    #[test]
    fn a_request_that_was_rejected_is_found() {
        let rejected = broken_by(|run, _| run.pairs[0].failure = Some("409".to_owned()));
        assert_eq!(rejected, [0, 0, 1]);
    }
}

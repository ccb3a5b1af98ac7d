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

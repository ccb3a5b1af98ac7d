//! Patients who come from files.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Evidence, Invariant, changes::announced};
use crate::imports::{File, LINES, Line};

/// Every line of a file that was imported became one patient, however often the import was
/// interrupted, and nobody when the file was imported again. Everybody is on record.
pub(super) fn lines(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every line of an imported file is one patient");
    let observed = evidence.observed;
    for file in observed.files.iter().filter(|file| file.failure.is_none()) {
        let name = &file.name;
        let address = file.address();
        let announced = evidence.events.iter().filter(|(_, events)| {
            let first = events.first();
            let patient = first.and_then(|first| announced(first.event.change.as_ref()));
            patient.is_some_and(|patient| patient.address == address)
        });
        let announced: BTreeSet<Uuid> = announced.map(|(id, _)| *id).collect();
        invariant.check(announced.len() == LINES, || {
            format!("{name}: {} patients of {LINES} lines", announced.len())
        });
        for (import, lines) in file.imports.iter().enumerate() {
            let expected = if import == 0 { "CREATED" } else { "DUPLICATE" };
            invariant.check(are(lines, expected, &announced), || {
                format!("{name}: import {import} has not {expected} all: {lines:?}")
            });
        }
        invariant.check(is_the_same(file), || {
            format!("{name}: a line is another patient the second time")
        });
        for id in &announced {
            invariant.check(observed.rows.get(id) == Some(&1), || {
                let version = observed.rows.get(id);
                format!("{name}: {id} has the version {version:?} and was never changed")
            });
            invariant.check(observed.imported_on_record.contains(id), || {
                format!("{name}: {id} is not on record")
            });
        }
    }
    invariant
}

/// Whether each line has this outcome, once, and is one of these patients.
fn are(lines: &[Line], outcome: &str, patients: &BTreeSet<Uuid>) -> bool {
    // The first line has the titles.
    let numbers = lines.iter().map(|line| line.number);
    numbers.eq((2..).take(LINES))
        && lines.iter().all(|line| line.outcome == outcome)
        && lines
            .iter()
            .filter_map(|line| line.patient_id)
            .collect::<BTreeSet<_>>()
            == *patients
}

fn is_the_same(file: &File) -> bool {
    let patients =
        |lines: &[Line]| -> Vec<_> { lines.iter().map(|line| line.patient_id).collect() };
    let mut imports = file.imports.iter().map(|lines| patients(lines));
    let first = imports.next();
    imports.all(|again| Some(again) == first)
}

/// Every import ends.
pub(super) fn refusals(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every import ends");
    for file in &evidence.observed.files {
        let failure = file.failure.as_deref();
        invariant.check(failure.is_none(), || {
            format!("{}: {}", file.name, failure.unwrap_or_default())
        });
    }
    invariant
}

#[cfg(test)]
mod tests {
    use contracts::patient::v1::{PatientCreated, patient_event::Change};
    use system_tests::PatientRecord;

    use super::{
        super::tests::{announced, patient, record},
        *,
    };
    use crate::observation::Observation;

    fn created(id: Uuid, file: &File) -> PatientRecord {
        let mut patient = announced(&patient(id, 1, "i1-a"));
        patient.address = file.address();
        let created = PatientCreated {
            patient: Some(patient),
            without_welcome: false,
        };
        record(id, 1, Change::Created(created))
    }

    /// A file that was imported twice.
    fn good() -> Observation {
        let patients: Vec<Uuid> = (0..LINES).map(|_| Uuid::now_v7()).collect();
        let lines = |outcome: &str| -> Vec<Line> {
            let lines = (2..).zip(&patients).map(|(number, patient)| Line {
                number,
                outcome: outcome.to_owned(),
                patient_id: Some(*patient),
            });
            lines.collect()
        };
        let file = File {
            name: "i1-a".to_owned(),
            imports: vec![lines("CREATED"), lines("DUPLICATE")],
            failure: None,
        };
        Observation {
            records: patients.iter().map(|id| created(*id, &file)).collect(),
            rows: patients.iter().map(|id| (*id, 1)).collect(),
            imported_on_record: patients.iter().copied().collect(),
            files: vec![file],
            ..Observation::default()
        }
    }

    /// How often each of the two is violated by a run with this difference.
    fn broken_by(difference: impl FnOnce(&mut Observation)) -> [usize; 2] {
        let mut observed = good();
        difference(&mut observed);
        let evidence = Evidence::new(&[], &observed);
        [lines, refusals].map(|invariant| invariant(&evidence).violations.len())
    }

    #[test]
    fn a_run_without_violations_passes() {
        assert_eq!(broken_by(|_| {}), [0, 0]);
    }

    #[test]
    fn a_line_that_became_two_patients_or_none_is_found() {
        let twice = broken_by(|run| {
            let (again, file) = (Uuid::now_v7(), &run.files[0]);
            let event = created(again, file);
            run.records.push(event);
            run.rows.insert(again, 1);
            run.imported_on_record.insert(again);
        });
        assert_eq!(twice, [3, 0]);
        let lost = broken_by(|run| drop(run.records.pop()));
        assert_eq!(lost, [3, 0]);
    }

    #[test]
    fn an_outcome_that_is_not_true_is_found() {
        let missing = broken_by(|run| drop(run.files[0].imports[0].remove(3)));
        assert_eq!(missing, [2, 0]);
        let created_again = broken_by(|run| {
            run.files[0].imports[1][0].outcome = "CREATED".to_owned();
        });
        assert_eq!(created_again, [1, 0]);
        let somebody_else = broken_by(|run| {
            let lines = &mut run.files[0].imports[1];
            let first = lines[0].patient_id;
            lines[0].patient_id = std::mem::replace(&mut lines[1].patient_id, first);
        });
        assert_eq!(somebody_else, [1, 0]);
    }

    #[test]
    fn who_was_changed_or_is_not_on_record_is_found() {
        let changed = broken_by(|run| {
            let id = run.files[0].imports[0][0].patient_id.unwrap();
            run.rows.insert(id, 2);
        });
        assert_eq!(changed, [1, 0]);
        let not_on_record = broken_by(|run| run.imported_on_record.clear());
        assert_eq!(not_on_record, [LINES, 0]);
    }

    #[test]
    fn an_import_that_does_not_end_is_found() {
        let stuck = broken_by(|run| run.files[0].failure = Some("is RUNNING".to_owned()));
        assert_eq!(stuck, [0, 1]);
    }
}

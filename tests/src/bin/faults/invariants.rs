//! What must hold after the run, whatever failed. Every check is a function of the ledger and the
//! observations, and lists the violations.

mod answers;
mod bookings;
mod books;
mod changes;
mod consequences;
mod imports;
mod merges;
mod topic;

use std::collections::{HashMap, HashSet};

use system_tests::{PatientRecord, Stuck};
use uuid::Uuid;

pub(crate) use system_tests::Invariant;

use crate::{imports::is_imported, ledger::Change, merges::Pair, observation::Observation};

/// Everything to be checked, grouped by patient.
struct Evidence<'a> {
    changes: &'a [Change],
    observed: &'a Observation,
    /// The records of each patient, in their order on the topic.
    records: HashMap<Uuid, Vec<&'a PatientRecord>>,
    /// The same, each event once, at its first occurrence.
    events: HashMap<Uuid, Vec<&'a PatientRecord>>,
    /// The patients of the merging clients.
    paired: HashSet<Uuid>,
    /// Those of the importing client.
    imported: HashSet<Uuid>,
}

impl<'a> Evidence<'a> {
    fn new(changes: &'a [Change], observed: &'a Observation) -> Self {
        let mut records: HashMap<_, Vec<_>> = HashMap::new();
        let mut events: HashMap<_, Vec<&PatientRecord>> = HashMap::new();
        for record in &observed.records {
            let Ok(patient_id) = record.key.parse() else {
                continue;
            };
            records.entry(patient_id).or_default().push(record);
            let events = events.entry(patient_id).or_default();
            let is_same = |other: &&PatientRecord| other.event.event_id == record.event.event_id;
            if !events.iter().any(is_same) {
                events.push(record);
            }
        }
        let imported = events.iter().filter(|(_, events)| {
            let first = events.first();
            let patient = first.and_then(|first| changes::announced(first.event.change.as_ref()));
            patient.is_some_and(|patient| is_imported(&patient.address))
        });
        Self {
            changes,
            observed,
            imported: imported.map(|(id, _)| *id).collect(),
            records,
            events,
            paired: observed.pairs.iter().flat_map(Pair::ids).collect(),
        }
    }

    /// The events of the patients whom only the clients in the ledger change.
    fn of_clients(&self) -> impl Iterator<Item = (&Uuid, &Vec<&'a PatientRecord>)> {
        let events = self.unpaired();
        events.filter(|(patient_id, _)| !self.imported.contains(patient_id))
    }

    /// The events of everybody who is neither merged nor undone.
    fn unpaired(&self) -> impl Iterator<Item = (&Uuid, &Vec<&'a PatientRecord>)> {
        let events = self.events.iter();
        events.filter(|(patient_id, _)| !self.paired.contains(patient_id))
    }

    /// The pairs whose client knows what became of them.
    fn pairs(&self) -> impl Iterator<Item = &'a Pair> {
        let pairs = self.observed.pairs.iter();
        pairs.filter(|pair| pair.failure.is_none())
    }
}

/// Checks everything.
pub(crate) fn check(
    changes: &[Change],
    observed: &Observation,
    stuck: Option<Stuck>,
) -> Vec<Invariant> {
    let evidence = Evidence::new(changes, observed);
    let mut drained = Invariant::new("the backlog drains");
    drained.check(stuck.is_none(), || {
        stuck.map_or_else(String::new, |stuck| stuck.to_string())
    });
    vec![
        drained,
        changes::are_there(&evidence),
        changes::happened_once(&evidence),
        topic::is_in_order(&evidence),
        topic::deliveries_are_apart(&evidence),
        changes::are_in_history(&evidence),
        changes::are_on_record(&evidence),
        consequences::accounts(&evidence),
        consequences::analytics(&evidence),
        consequences::notifications(&evidence),
        consequences::mails(&evidence),
        consequences::dead_letters(&evidence),
        merges::are_whole(&evidence),
        merges::happened_once(&evidence),
        merges::refusals(&evidence),
        imports::lines(&evidence),
        imports::refusals(&evidence),
        bookings::slots(&evidence),
        bookings::are_kept(&evidence),
        bookings::happened_once(&evidence),
        bookings::refusals(&evidence),
        bookings::events(&evidence),
        bookings::orphans(&evidence),
        bookings::reminders(&evidence),
        bookings::told(&evidence),
        books::booked_once(&evidence),
        books::numbers(&evidence),
        books::balances(&evidence),
        books::requests(&evidence),
        books::on_record(&evidence),
        books::announced(&evidence),
        books::charges(&evidence),
        books::verified(&evidence),
        books::refusals(&evidence),
        answers::in_time(&evidence),
        answers::as_promised(&evidence),
    ]
}

#[cfg(test)]
mod tests;

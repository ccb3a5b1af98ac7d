//! The books: money that patients owe, pay and get back.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{Evidence, Invariant};
use crate::cashiers::{Act, Books, Event, EventKind, Kind, Recorded};

/// What is known about patients of whom all is known.
struct Known<'a> {
    books: &'a Books,
    lost: HashSet<Uuid>,
}

impl<'a> Known<'a> {
    fn of(evidence: &Evidence<'a>) -> Self {
        let books = &evidence.observed.books;
        let lost = books.failures.iter().map(|failure| failure.patient);
        Self {
            books,
            lost: lost.collect(),
        }
    }

    fn is_known(&self, patient: Uuid) -> bool {
        !self.lost.contains(&patient)
    }

    /// What was acknowledged. That holds for the others, too, but there may be more of theirs.
    fn acts(&self) -> impl Iterator<Item = &'a Act> {
        self.books.acts.iter()
    }

    fn patients(&self) -> impl Iterator<Item = Uuid> {
        let patients = self.books.patients.iter().copied();
        patients.filter(|patient| self.is_known(*patient))
    }
}

/// Every acknowledged payment, invoice and whatever else moves money has exactly one entry, with its
/// amount, and there is no other one.
pub(super) fn booked_once(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every payment and invoice is booked once");
    let known = Known::of(evidence);
    let mut booked: HashMap<(&str, Uuid), Vec<i64>> = HashMap::new();
    for entry in &known.books.entries {
        match entry.document() {
            Some(document) => {
                let moved = booked.entry((&entry.kind, document)).or_default();
                moved.push(entry.moved);
            }
            None => invariant.check(entry.moved == 0, || {
                format!("{} ({}) moves {}", entry.id, entry.kind, entry.moved)
            }),
        }
    }
    let mut told: HashSet<(&str, Uuid)> = HashSet::new();
    for act in known.acts() {
        let Some(how) = act.kind.booked() else {
            continue;
        };
        let is_new = told.insert((how.entry, act.document));
        let moved = booked.get(&(how.entry, act.document));
        let moved = moved.map(Vec::as_slice).unwrap_or_default();
        invariant.check(is_new && moved == [how.sign * act.amount], || {
            let Act {
                name,
                document,
                amount,
                ..
            } = act;
            let entry = how.entry;
            format!("{name}: {entry} of {document} over {amount} is booked as {moved:?}")
        });
    }
    for entry in &known.books.entries {
        let Some(document) = entry.document() else {
            continue;
        };
        if known.is_known(entry.patient) {
            invariant.check(told.contains(&(&*entry.kind, document)), || {
                format!(
                    "{} of {document} is booked, and nobody was told",
                    entry.kind
                )
            });
        }
    }
    invariant
}

/// The numbers of a series are 1, 2, 3 and so on, in the order of their dates, and everybody was told
/// the right one.
pub(super) fn numbers(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("no number of an invoice is missing, or given twice");
    let books = &evidence.observed.books;
    let mut by_series: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for document in &books.documents {
        by_series
            .entry(&document.series)
            .or_default()
            .push(document);
    }
    for (series, documents) in &by_series {
        for (place, document) in (1..).zip(documents) {
            invariant.check(document.sequence == place, || {
                format!("{} is the {place}. of {series}", document.number)
            });
        }
        let dates = documents
            .windows(2)
            .all(|two| two[0].issue_date <= two[1].issue_date);
        invariant.check(dates, || format!("the dates of {series} fall"));
    }
    for (series, last) in &books.series {
        let many = by_series.get(&**series).map_or(0, Vec::len);
        invariant.check(i64::try_from(many) == Ok(*last), || {
            format!("{series} has got to {last} with {many} documents")
        });
    }
    let numbers = books.documents.iter();
    let numbers: HashMap<_, _> = numbers.map(|it| (it.id, it.number.as_str())).collect();
    for act in &books.acts {
        let Some(number) = &act.number else {
            continue;
        };
        let stored = numbers.get(&act.document).copied();
        invariant.check(stored == Some(number), || {
            format!("{}: {number} was told, {stored:?} is stored", act.name)
        });
    }
    invariant
}

/// Every entry sums to zero, every balance is the sum of its postings, and a statement that of both of
/// a patient's balances, line by line, and what their cashier was told.
pub(super) fn balances(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every balance and statement is the sum of its postings");
    let known = Known::of(evidence);
    let books = known.books;
    invariant.check(books.unbalanced.is_empty(), || {
        format!("these entries do not sum to 0: {:?}", books.unbalanced)
    });
    let mut owed: HashMap<Uuid, i64> = HashMap::new();
    for account in &books.balances {
        let is_sum = account.balance == account.sum && account.last_sequence == account.postings;
        invariant.check(is_sum, || {
            format!("not the sum of its postings: {account:?}")
        });
        *owed.entry(account.patient).or_default() += account.sum;
    }
    for (patient, statement) in &books.statements {
        let owed = owed.get(patient).copied().unwrap_or_default();
        let (opening, closing) = (statement.opening, statement.closing);
        let mut balance = opening;
        let adds_up = statement.lines.iter().all(|line| {
            balance += line.amount;
            balance == line.balance
        });
        invariant.check(adds_up && balance == closing && closing == owed, || {
            format!("{patient} owes {owed} by the postings, and the statement says {statement:?}")
        });
    }
    for patient in known.patients() {
        let moved = known.acts().filter(|act| act.patient == patient);
        let moved = moved.filter_map(|act| Some(act.kind.booked()?.sign * act.amount));
        let (told, owed) = (
            moved.sum::<i64>(),
            owed.get(&patient).copied().unwrap_or_default(),
        );
        invariant.check(told == owed, || {
            format!("{patient} owes {owed}, and {told} by what was told")
        });
    }
    invariant
}

/// A request that comes again changes nothing, and gets the first answer. Behind the entries of a
/// patient there are as many requests as were acknowledged.
pub(super) fn requests(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("no request moves money twice, or gets another answer");
    let known = Known::of(evidence);
    for act in known.acts() {
        if let Some(again) = &act.repetition {
            invariant.check(again.is_the_same && again.says_so, || {
                format!("{}: the same request got {again:?}", act.name)
            });
        }
    }
    let mut of_patient: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
    let mut effects = HashSet::new();
    for entry in &known.books.entries {
        let Some(request) = entry.request_id else {
            invariant.check(false, || format!("{} has no request", entry.id));
            continue;
        };
        of_patient.entry(entry.patient).or_default().insert(request);
        let effect = (request, &entry.kind, entry.invoice_id, entry.payment_id);
        invariant.check(effects.insert(effect), || {
            format!("{request} has booked {} twice", entry.kind)
        });
    }
    for patient in known.patients() {
        let acts = known.acts().filter(|act| act.patient == patient);
        let acts = acts.filter(|act| act.kind.is_in_ledger()).count();
        let requests = of_patient.get(&patient).map_or(0, HashSet::len);
        invariant.check(acts == requests, || {
            format!("{patient}: {acts} changes acknowledged, {requests} requests in the ledger")
        });
    }
    invariant
}

/// Every change is in the audit trail once, and once more for each repetition that was answered: never
/// more often than it was asked for.
pub(super) fn on_record(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every change of the books is on record once");
    let known = Known::of(evidence);
    let mut expected: BTreeMap<Recorded, (i64, i64, &str)> = BTreeMap::new();
    for act in known.acts() {
        let recorded = Recorded {
            action: act.kind.action().to_owned(),
            resource: act.resource,
        };
        let times = expected.entry(recorded).or_insert((0, 0, &act.name));
        // It was done once, whether that answer has arrived or not.
        times.0 += 1 + i64::from(act.replays);
        times.1 += i64::from(act.sent);
    }
    for (recorded, (least, most, name)) in expected {
        let times = known.books.recorded.get(&recorded).copied();
        let times = times.unwrap_or_default();
        invariant.check((least..=most).contains(&times), || {
            let Recorded { action, resource } = recorded;
            format!(
                "{name}: {action} of {resource} is {times} times on record, not {least} to {most}"
            )
        });
    }
    invariant
}

/// Every change that others have to hear of has one event with its amount, which may be on the topic
/// more than once, after that of what it follows; and there is no other one.
pub(super) fn announced(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every change of the books is announced once, in order");
    let known = Known::of(evidence);
    let mut by_id: HashMap<&str, &Event> = HashMap::new();
    let mut by_change: HashMap<(EventKind, Uuid), Vec<&Event>> = HashMap::new();
    let mut repeated = 0;
    for event in &known.books.events {
        if let Some(first) = by_id.get(&*event.id) {
            repeated += 1;
            invariant.check(*first == event, || {
                format!("{} is two events: {first:?}, {event:?}", event.id)
            });
            continue;
        }
        by_id.insert(&event.id, event);
        let follows = event.follows.is_none_or(|before| {
            [EventKind::InvoiceIssued, EventKind::PaymentRecorded]
                .iter()
                .any(|kind| by_change.contains_key(&(*kind, before)))
        });
        let is_with_patient = event.key == event.patient.to_string();
        invariant.check(follows && is_with_patient, || {
            format!("out of order, or with another key: {event:?}")
        });
        let events = by_change.entry((event.kind, event.document)).or_default();
        events.push(event);
    }
    let mut told = HashSet::new();
    for act in known.acts() {
        let Some(how) = act.kind.booked() else {
            continue;
        };
        told.insert((how.event, act.document));
        let events = by_change.get(&(how.event, act.document));
        let events = events.map(Vec::as_slice).unwrap_or_default();
        let is_one =
            matches!(events, [event] if event.amount == act.amount && event.patient == act.patient);
        invariant.check(is_one, || {
            format!("{}: {} is announced as {events:?}", act.name, act.document)
        });
    }
    for (change, events) in &by_change {
        if events.iter().all(|event| known.is_known(event.patient)) {
            invariant.check(told.contains(change), || {
                format!("announced, and nobody was told: {events:?}")
            });
        }
    }
    invariant
        .notes
        .push(format!("{repeated} events came again"));
    invariant
}

/// Every appointment that took place is charged once, at its price or on the worklist of what needs
/// one; no other one is. Every charge that was recorded is there.
pub(super) fn charges(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every appointment that took place is charged once");
    let known = Known::of(evidence);
    let books = known.books;
    let mut of_appointment: HashMap<Uuid, Vec<_>> = HashMap::new();
    for charge in &books.charges {
        if let Some(appointment) = charge.appointment {
            of_appointment.entry(appointment).or_default().push(charge);
        }
    }
    for appointment in &books.appointments {
        let charges = of_appointment.remove(&appointment.id).unwrap_or_default();
        let is_right = match charges.as_slice() {
            [] => !appointment.took_place,
            [charge] => {
                let is_waiting = charge.state == "UNPRICED" && books.worklist.contains(&charge.id);
                let is_priced = matches!(charge.state.as_str(), "BILLABLE" | "INVOICED");
                appointment.took_place
                    && charge.patient == appointment.patient
                    && (&charge.code, charge.quantity) == (&appointment.code, 1)
                    && if appointment.is_priced {
                        is_priced
                    } else {
                        is_waiting
                    }
            }
            _ => false,
        };
        invariant.check(is_right, || {
            format!("{appointment:?} is charged as {charges:?}")
        });
    }
    for (appointment, charges) in of_appointment {
        if charges.iter().all(|charge| known.is_known(charge.patient)) {
            invariant.check(false, || {
                format!("{appointment} did not take place, and is charged as {charges:?}")
            });
        }
    }
    let by_hand = books.charges.iter();
    let by_hand = by_hand.filter(|charge| charge.appointment.is_none());
    let stored: BTreeMap<_, _> = by_hand.map(|charge| (charge.id, charge)).collect();
    let of = |kind| {
        let acts = known.acts().filter(move |act| act.kind == kind);
        acts.map(|act| act.document).collect::<BTreeSet<_>>()
    };
    let (recorded, cancelled) = (of(Kind::Charge), of(Kind::CancelCharge));
    for id in &recorded {
        let state = stored.get(id).map(|charge| charge.state.as_str());
        invariant.check(
            state.is_some_and(|state| (state == "CANCELLED") == cancelled.contains(id)),
            || format!("the charge {id} is {state:?}"),
        );
    }
    for (id, charge) in stored {
        if known.is_known(charge.patient) {
            invariant.check(recorded.contains(&id), || {
                format!("nobody was told of {charge:?}")
            });
        }
    }
    invariant
}

/// What verifies the ledger finds nothing.
pub(super) fn verified(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("the ledger verifies");
    let faults = &evidence.observed.books.faults;
    invariant.check(faults.is_none(), || faults.clone().unwrap_or_default());
    invariant
}

/// Nothing was refused to a cashier that should not have been, nothing was done that should have been
/// refused, and of two who wanted the same, one got it.
pub(super) fn refusals(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("of two who ask for the same money, one gets it");
    let books = &evidence.observed.books;
    invariant.checked = books.acts.len();
    for failure in &books.failures {
        invariant.check(false, || format!("{}: {}", failure.name, failure.reason));
    }
    invariant
}

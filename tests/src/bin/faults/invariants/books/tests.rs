//! Books without violations, and with each possible violation.

use chrono::NaiveDate;
use uuid::Uuid;

use crate::{
    cashiers::{
        Act, Appointment, Balance, Books, Charge, Document, Entry, Event, EventKind, Failure, Kind,
        Recorded, Repetition, Statement, StatementLine,
    },
    invariants::{Invariant, check},
    observation::Observation,
};

const BOOKED: &str = "every payment and invoice is booked once";
const NUMBERS: &str = "no number of an invoice is missing, or given twice";
const BALANCES: &str = "every balance and statement is the sum of its postings";
const REQUESTS: &str = "no request moves money twice, or gets another answer";
const RECORDED: &str = "every change of the books is on record once";
const ANNOUNCED: &str = "every change of the books is announced once, in order";
const CHARGED: &str = "every appointment that took place is charged once";
const VERIFIED: &str = "the ledger verifies";
const REFUSALS: &str = "of two who ask for the same money, one gets it";

const ALL: [&str; 9] = [
    BOOKED, NUMBERS, BALANCES, REQUESTS, RECORDED, ANNOUNCED, CHARGED, VERIFIED, REFUSALS,
];

const PATIENT: Uuid = Uuid::from_u128(1);
const CHARGE: Uuid = Uuid::from_u128(10);
const CANCELLED: Uuid = Uuid::from_u128(11);
const OF_APPOINTMENT: Uuid = Uuid::from_u128(12);
const WITHOUT_PRICE: Uuid = Uuid::from_u128(13);
const INVOICE: Uuid = Uuid::from_u128(20);
const PAYMENT: Uuid = Uuid::from_u128(30);
const NOTE: Uuid = Uuid::from_u128(40);
const REFUND: Uuid = Uuid::from_u128(50);
const ANOTHER: Uuid = Uuid::from_u128(99);

fn appointment(number: u128, is_priced: bool, took_place: bool) -> Appointment {
    Appointment {
        id: Uuid::from_u128(number),
        patient: PATIENT,
        code: "VISIT".to_owned(),
        is_priced,
        took_place,
    }
}

fn charge(id: Uuid, state: &str, appointment: Option<u128>) -> Charge {
    Charge {
        id,
        patient: PATIENT,
        state: state.to_owned(),
        code: "VISIT".to_owned(),
        quantity: 1,
        appointment: appointment.map(Uuid::from_u128),
    }
}

/// Adds a change, and all that follows from it.
fn add(books: &mut Books, kind: Kind, document: Uuid, amount: i64) {
    let place = books.acts.len() as u128;
    let is_note = kind == Kind::Credit;
    let resource = if is_note { INVOICE } else { document };
    let number = match kind {
        Kind::Issue => Some("2026-000001"),
        Kind::Credit => Some("CN-2026-000001"),
        _ => None,
    };
    books.acts.push(Act {
        name: format!("k0-{place}"),
        kind,
        patient: PATIENT,
        document,
        resource,
        amount,
        number: number.map(ToOwned::to_owned),
        key: Uuid::from_u128(1000 + place),
        sent: 1,
        replays: 0,
        repetition: None,
    });
    let action = kind.action().to_owned();
    books.recorded.insert(Recorded { action, resource }, 1);
    if kind.is_in_ledger() {
        let how = kind.booked();
        books.entries.push(Entry {
            id: Uuid::from_u128(2000 + place),
            kind: how.map_or("CREDIT_ALLOCATED", |how| how.entry).to_owned(),
            patient: PATIENT,
            invoice_id: Some(INVOICE),
            credit_note_id: is_note.then_some(NOTE),
            payment_id: Some(PAYMENT),
            refund_id: (kind == Kind::CompleteRefund).then_some(REFUND),
            request_id: Some(Uuid::from_u128(3000 + place)),
            moved: how.map_or(0, |how| how.sign * amount),
        });
    }
    let Some(how) = kind.booked() else {
        return;
    };
    let statement = books.statements.entry(PATIENT).or_default();
    statement.closing += how.sign * amount;
    statement.lines.push(StatementLine {
        amount: how.sign * amount,
        balance: statement.closing,
    });
    books.events.push(Event {
        id: format!("e{place}"),
        key: PATIENT.to_string(),
        patient: PATIENT,
        kind: how.event,
        document,
        follows: match kind {
            Kind::Credit => Some(INVOICE),
            Kind::CompleteRefund => Some(PAYMENT),
            _ => None,
        },
        amount,
    });
}

/// A visit that was charged, invoiced, paid, credited in part and paid back in part, an appointment
/// that waits for a price, and one that did not take place.
fn good() -> Observation {
    let mut books = Books {
        patients: vec![PATIENT],
        appointments: vec![
            appointment(60, true, true),
            appointment(61, false, true),
            appointment(62, true, false),
        ],
        charges: vec![
            charge(CHARGE, "INVOICED", None),
            charge(CANCELLED, "CANCELLED", None),
            charge(OF_APPOINTMENT, "BILLABLE", Some(60)),
            charge(WITHOUT_PRICE, "UNPRICED", Some(61)),
        ],
        worklist: [WITHOUT_PRICE].into(),
        ..Books::default()
    };
    for (kind, document, amount) in [
        (Kind::Charge, CHARGE, 4_000),
        (Kind::Charge, CANCELLED, 4_000),
        (Kind::CancelCharge, CANCELLED, 0),
        (Kind::Draft, INVOICE, 4_760),
        (Kind::Issue, INVOICE, 4_760),
        (Kind::Pay, PAYMENT, 5_000),
        (Kind::Allocate, PAYMENT, 4_760),
        (Kind::Credit, NOTE, 760),
        (Kind::AskForRefund, REFUND, 1_000),
        (Kind::ApproveRefund, REFUND, 1_000),
        (Kind::CompleteRefund, REFUND, 1_000),
    ] {
        add(&mut books, kind, document, amount);
    }
    let document = |id, series: &str, sequence| Document {
        id,
        series: series.to_owned(),
        sequence,
        number: format!("{series}-{sequence:06}"),
        issue_date: NaiveDate::default(),
    };
    books.documents = vec![
        document(INVOICE, "2026", 1),
        document(ANOTHER, "2026", 2),
        document(NOTE, "CN-2026", 1),
    ];
    books.series = [("2026".to_owned(), 2), ("CN-2026".to_owned(), 1)].into();
    let balance = |balance, postings| Balance {
        patient: PATIENT,
        balance,
        last_sequence: postings,
        sum: balance,
        postings,
    };
    books.balances = vec![balance(0, 3), balance(0, 3)];
    Observation {
        trail_is_intact: true,
        books,
        ..Observation::default()
    }
}

/// The invariants that a run with this difference violates, with how often.
fn broken_by(difference: impl FnOnce(&mut Books)) -> Vec<(&'static str, usize)> {
    let mut observed = good();
    difference(&mut observed.books);
    let invariants = check(&[], &observed, None);
    let ours = |invariant: &&Invariant| ALL.contains(&invariant.name);
    let ours = invariants.iter().filter(ours);
    let broken = ours.filter(|invariant| !invariant.violations.is_empty());
    broken
        .map(|invariant| (invariant.name, invariant.violations.len()))
        .collect()
}

fn act(books: &mut Books, kind: Kind) -> &mut Act {
    let mut acts = books.acts.iter_mut();
    acts.find(|act| act.kind == kind).unwrap()
}

fn entry<'a>(books: &'a mut Books, kind: &str) -> &'a mut Entry {
    let mut entries = books.entries.iter_mut();
    entries.find(|entry| entry.kind == kind).unwrap()
}

fn place(books: &Books, kind: EventKind) -> usize {
    let mut events = books.events.iter();
    events.position(|event| event.kind == kind).unwrap()
}

#[test]
fn books_without_violations_pass() {
    assert_eq!(broken_by(|_| {}), []);
    let checked = check(&[], &good(), None);
    for name in ALL {
        let invariant = checked.iter().find(|it| it.name == name).unwrap();
        assert!(invariant.checked > 0, "{name} checks nothing");
    }
}

#[test]
fn a_payment_that_is_lost_is_found() {
    let lost = broken_by(|books| books.entries.retain(|it| it.kind != "PAYMENT_RECORDED"));
    assert_eq!(lost, [(BOOKED, 1), (REQUESTS, 1)]);
    let not_announced = broken_by(|books| {
        let place = place(books, EventKind::InvoiceIssued);
        books.events.remove(place);
    });
    // The credit note follows nothing then.
    assert_eq!(not_announced, [(ANNOUNCED, 2)]);
    let not_on_record =
        broken_by(|books| books.recorded.retain(|it, _| it.action != "RECORD_PAYMENT"));
    assert_eq!(not_on_record, [(RECORDED, 1)]);
}

#[test]
fn an_invoice_that_is_booked_twice_or_wrongly_is_found() {
    let twice = broken_by(|books| {
        let again = Entry {
            request_id: Some(Uuid::from_u128(7)),
            ..entry(books, "INVOICE_ISSUED").clone()
        };
        books.entries.push(again);
    });
    assert_eq!(twice, [(BOOKED, 1), (REQUESTS, 1)]);
    let wrong = broken_by(|books| entry(books, "INVOICE_ISSUED").moved += 1);
    assert_eq!(wrong, [(BOOKED, 1)]);
    let allocation = broken_by(|books| entry(books, "CREDIT_ALLOCATED").moved = 1);
    assert_eq!(allocation, [(BOOKED, 1)]);
    let nobody_told = broken_by(|books| {
        let refund = Entry {
            refund_id: Some(ANOTHER),
            request_id: Some(Uuid::from_u128(7)),
            ..entry(books, "REFUND_COMPLETED").clone()
        };
        books.entries.push(refund);
    });
    assert_eq!(nobody_told, [(BOOKED, 1), (REQUESTS, 1)]);
    let acknowledged_twice = broken_by(|books| {
        let again = act(books, Kind::CompleteRefund).clone();
        books.acts.push(again);
    });
    assert!(acknowledged_twice.contains(&(BOOKED, 1)));
}

#[test]
fn a_request_with_two_effects_or_answers_is_found() {
    let two_effects = broken_by(|books| {
        let again = entry(books, "CREDIT_ALLOCATED").clone();
        books.entries.push(again);
    });
    assert_eq!(two_effects, [(REQUESTS, 1)]);
    let nobodys = broken_by(|books| entry(books, "CREDIT_ALLOCATED").request_id = None);
    assert_eq!(nobodys, [(REQUESTS, 2)]);
    let repeated = |is_the_same, says_so| {
        broken_by(|books| {
            act(books, Kind::Pay).repetition = Some(Repetition {
                answer: "201".to_owned(),
                is_the_same,
                says_so,
            });
        })
    };
    assert_eq!(repeated(true, true), []);
    assert_eq!(repeated(false, true), [(REQUESTS, 1)]);
    assert_eq!(repeated(true, false), [(REQUESTS, 1)]);
}

#[test]
fn a_gap_in_the_numbers_is_found() {
    let gap = broken_by(|books| books.documents[1].sequence = 3);
    assert_eq!(gap, [(NUMBERS, 1)]);
    let lost = broken_by(|books| drop(books.documents.remove(1)));
    assert_eq!(lost, [(NUMBERS, 1)]);
    let dates = broken_by(|books| books.documents[0].issue_date = NaiveDate::MAX);
    assert_eq!(dates, [(NUMBERS, 1)]);
    let another =
        broken_by(|books| act(books, Kind::Issue).number = Some("2026-000002".to_owned()));
    assert_eq!(another, [(NUMBERS, 1)]);
}

#[test]
fn a_balance_that_is_not_the_sum_is_found() {
    assert_eq!(
        broken_by(|books| books.balances[0].balance = 1),
        [(BALANCES, 1)]
    );
    assert_eq!(
        broken_by(|books| books.balances[0].last_sequence = 4),
        [(BALANCES, 1)]
    );
    assert_eq!(
        broken_by(|books| books.unbalanced.push(ANOTHER)),
        [(BALANCES, 1)]
    );
    // Not what the statement says, and not what was told.
    let moved = broken_by(|books| {
        books.balances[1].balance = -5;
        books.balances[1].sum = -5;
    });
    assert_eq!(moved, [(BALANCES, 2)]);
    let line = broken_by(|books| {
        let statement: &mut Statement = books.statements.get_mut(&PATIENT).unwrap();
        statement.lines[1].balance += 1;
    });
    assert_eq!(line, [(BALANCES, 1)]);
}

#[test]
fn what_is_on_record_too_often_is_found() {
    let count = |sent, replays, times| {
        broken_by(|books| {
            let act = act(books, Kind::Issue);
            (act.sent, act.replays) = (sent, replays);
            let action = "ISSUE_INVOICE".to_owned();
            let resource = INVOICE;
            books.recorded.insert(Recorded { action, resource }, times);
        })
    };
    assert_eq!(count(1, 0, 2), [(RECORDED, 1)]);
    assert_eq!(count(3, 1, 2), []);
    assert_eq!(count(3, 1, 3), []);
    assert_eq!(count(3, 1, 1), [(RECORDED, 1)]);
    assert_eq!(count(3, 1, 4), [(RECORDED, 1)]);
}

#[test]
fn events_that_are_two_or_out_of_order_are_found() {
    let again = broken_by(|books| {
        let first = books.events[0].clone();
        books.events.push(first);
    });
    assert_eq!(again, [], "the same event may come again");
    let another = broken_by(|books| {
        let second = Event {
            id: "another".to_owned(),
            ..books.events[0].clone()
        };
        books.events.push(second);
    });
    assert_eq!(another, [(ANNOUNCED, 1)]);
    let changed = broken_by(|books| {
        let changed = Event {
            amount: 1,
            ..books.events[0].clone()
        };
        books.events.push(changed);
    });
    assert_eq!(changed, [(ANNOUNCED, 1)]);
    let too_early = broken_by(|books| {
        let place = place(books, EventKind::CreditNoteIssued);
        let event = books.events.remove(place);
        books.events.insert(0, event);
    });
    assert_eq!(too_early, [(ANNOUNCED, 1)]);
    let another_key = broken_by(|books| books.events[0].key.clear());
    assert_eq!(another_key, [(ANNOUNCED, 1)]);
    let nobody_told = broken_by(|books| {
        let event = Event {
            id: "another".to_owned(),
            document: ANOTHER,
            ..books.events[0].clone()
        };
        books.events.push(event);
    });
    assert_eq!(nobody_told, [(ANNOUNCED, 1)]);
}

#[test]
fn an_appointment_that_is_charged_twice_or_never_is_found() {
    let at = |id| move |charge: &Charge| charge.id == id;
    let never = broken_by(|books| books.charges.retain(|it| !at(OF_APPOINTMENT)(it)));
    assert_eq!(never, [(CHARGED, 1)]);
    let twice = broken_by(|books| books.charges.push(charge(ANOTHER, "BILLABLE", Some(60))));
    assert_eq!(twice, [(CHARGED, 1)]);
    let not_on_the_worklist = broken_by(|books| books.worklist.clear());
    assert_eq!(not_on_the_worklist, [(CHARGED, 1)]);
    let without_its_price = broken_by(|books| books.charges[2].state = "UNPRICED".to_owned());
    assert_eq!(without_its_price, [(CHARGED, 1)]);
    let not_taken_place =
        broken_by(|books| books.charges.push(charge(ANOTHER, "BILLABLE", Some(62))));
    assert_eq!(not_taken_place, [(CHARGED, 1)]);
    let out_of_nothing =
        broken_by(|books| books.charges.push(charge(ANOTHER, "BILLABLE", Some(63))));
    assert_eq!(out_of_nothing, [(CHARGED, 1)]);
}

#[test]
fn a_charge_that_is_lost_or_nobody_was_told_of_is_found() {
    let lost = broken_by(|books| books.charges.retain(|charge| charge.id != CHARGE));
    assert_eq!(lost, [(CHARGED, 1)]);
    let not_cancelled = broken_by(|books| books.charges[1].state = "BILLABLE".to_owned());
    assert_eq!(not_cancelled, [(CHARGED, 1)]);
    let nobody_told = broken_by(|books| books.charges.push(charge(ANOTHER, "BILLABLE", None)));
    assert_eq!(nobody_told, [(CHARGED, 1)]);
}

#[test]
fn what_verification_finds_and_what_was_refused_is_shown() {
    let found = broken_by(|books| books.faults = Some("ENTRY_BALANCED".to_owned()));
    assert_eq!(found, [(VERIFIED, 1)]);
    let refused = broken_by(|books| {
        books.failures.push(Failure {
            name: "k0-1".to_owned(),
            patient: PATIENT,
            reason: "issue-invoice was rejected with 409".to_owned(),
        });
    });
    assert_eq!(refused, [(REFUSALS, 1)]);
}

/// Whoever does not know what became of a request cannot say that what is there should not be.
#[test]
fn the_account_of_a_failed_client_may_have_more_than_was_told() {
    let more = broken_by(|books| {
        books.failures.push(Failure {
            name: "k0-1".to_owned(),
            patient: PATIENT,
            reason: "record-payment had no response".to_owned(),
        });
        let payment = Entry {
            payment_id: Some(ANOTHER),
            request_id: Some(Uuid::from_u128(7)),
            ..entry(books, "PAYMENT_RECORDED").clone()
        };
        books.entries.push(payment);
        books.charges.push(charge(ANOTHER, "BILLABLE", None));
        books
            .charges
            .push(charge(Uuid::from_u128(98), "BILLABLE", Some(63)));
    });
    assert_eq!(more, [(REFUSALS, 1)]);
}

//! Bookings without violations, and with each possible violation.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::{
    bookings::{
        Absence, Appointment, Bookings, Change, Entry, Event, EventKind, Message, Occupied,
        Outcome, REMINDERS, Sent, State, Step,
    },
    faults::{FaultKind, Happened},
    invariants::{Invariant, check},
    observation::Observation,
};

const SLOTS: &str = "every slot is taken by as many as fit, and by their state";
const KEPT: &str = "every acknowledged booking is kept, version by version";
const ONCE: &str = "every booking happened once, and no rejected one";
const REFUSALS: &str = "every rejection of a booking has a reason";
const EVENTS: &str = "every booking has its events once or more, in order";
const ORPHANS: &str = "an appointment is orphaned if somebody is absent then";
const REMINDED: &str = "every booking has its reminders, and nobody else has any";
const TOLD: &str = "every patient is told what they have, and once";

fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn slot(number: i32) -> DateTime<Utc> {
    time() + TimeDelta::days(10) + TimeDelta::minutes(30) * number
}

const CLINICIAN: Uuid = Uuid::from_u128(1);
const ALONE: Uuid = Uuid::from_u128(2);
const GROUP: Uuid = Uuid::from_u128(3);

/// What an appointment of the good run has gone through.
struct Life {
    patient: u128,
    service: Uuid,
    /// The changes, the states after them and the slots.
    steps: Vec<(Change, &'static str, i32)>,
}

/// Adds an appointment, and all that follows from it.
fn add(bookings: &mut Bookings, number: u128, life: &Life) {
    let id = Uuid::from_u128(number);
    let (mut sequence, mut was_booked) = (0, false);
    for (version, (change, status, at)) in (1..).zip(&life.steps) {
        let state = State {
            id,
            version,
            patient_id: Uuid::from_u128(life.patient),
            status: (*status).to_owned(),
            start: slot(*at),
            resource_ids: vec![CLINICIAN],
        };
        bookings.history.entry(id).or_default().push(Step {
            appointment_id: id,
            version,
            change: change.in_history().unwrap().to_owned(),
            status: state.status.clone(),
            starts_at: state.start,
            resource_ids: state.resource_ids.clone(),
            actor: Some(Uuid::from_u128(9)),
            at: time() + TimeDelta::minutes(version),
        });
        sequence += i32::from(matches!(change, Change::Move | Change::Cancel));
        let announced = match change {
            Change::Book | Change::Confirm => Some((EventKind::Booked, "REQUEST")),
            Change::Move => Some((EventKind::Rescheduled, "REQUEST")),
            Change::Cancel if was_booked => Some((EventKind::Cancelled, "CANCEL")),
            _ => None,
        };
        if let Some((kind, method)) = announced {
            bookings.events.push(Event {
                id: format!("{id}-{version}"),
                key: state.patient_id.to_string(),
                appointment: id,
                patient: state.patient_id.to_string(),
                version,
                kind,
                sequence: sequence.into(),
                start: state.start,
            });
            bookings.sent.push(Sent {
                appointment: id,
                method: method.to_owned(),
                sequence: sequence.into(),
                start: state.start,
                at: time() + TimeDelta::minutes(version),
            });
        }
        bookings.entries.push(Entry {
            name: format!("b{number}-{version}"),
            change: *change,
            key: Uuid::new_v4(),
            appointment: (version > 1).then_some(id),
            absence: None,
            wanted: (change == &Change::Move).then_some(state.start),
            patient: Some(state.patient_id),
            may_be_gone: false,
            conditional: false,
            begun: time(),
            attempts: 1,
            outcome: Outcome::Acknowledged { state: Some(state) },
        });
        was_booked = *status == "BOOKED";
    }
    let &(_, status, at) = life.steps.last().unwrap();
    let appointment = Appointment {
        id,
        version: i64::try_from(life.steps.len()).unwrap(),
        patient_id: Uuid::from_u128(life.patient),
        service_id: life.service,
        resource_ids: vec![CLINICIAN],
        status: status.to_owned(),
        starts_at: slot(at),
        ends_at: slot(at + 1),
        sequence,
        hold_expires_at: None,
        orphaned: false,
    };
    if status == "BOOKED" {
        expect(bookings, &appointment);
    }
    bookings.patients.insert(appointment.patient_id);
    bookings.appointments.push(appointment);
}

/// Adds the slot and the reminders of an appointment that is booked.
fn expect(bookings: &mut Bookings, appointment: &Appointment) {
    bookings.occupied.push(Occupied {
        appointment_id: appointment.id,
        resource_id: CLINICIAN,
        from: appointment.starts_at,
        to: appointment.ends_at,
    });
    let channels = ["EMAIL", "SMS"];
    let reminders = channels.map(|channel| REMINDERS.map(|offset| (channel, offset)));
    for (channel, offset_minutes) in reminders.into_iter().flatten() {
        bookings.messages.push(Message {
            appointment_id: appointment.id,
            kind: "APPOINTMENT_REMINDER".to_owned(),
            channel: channel.to_owned(),
            sequence: appointment.sequence,
            offset_minutes,
            state: "PENDING".to_owned(),
        });
    }
}

/// An appointment that was held, confirmed and moved; two that share a slot; one that was cancelled
/// to make room for another; and an absence at another time.
fn good() -> Observation {
    use Change::{Book, Cancel, Confirm, Hold, Move};
    let mut bookings = Bookings {
        capacities: [(ALONE, 1), (GROUP, 2)].into(),
        at: time() + TimeDelta::hours(1),
        ..Bookings::default()
    };
    let life = |patient, service, steps: &[_]| Life {
        patient,
        service,
        steps: steps.to_vec(),
    };
    let moved = [
        (Hold, "PENDING", 0),
        (Confirm, "BOOKED", 0),
        (Move, "BOOKED", 1),
    ];
    add(&mut bookings, 100, &life(20, ALONE, &moved));
    add(&mut bookings, 101, &life(21, GROUP, &[(Book, "BOOKED", 2)]));
    add(&mut bookings, 102, &life(22, GROUP, &[(Book, "BOOKED", 2)]));
    let cancelled = [(Book, "BOOKED", 3), (Cancel, "CANCELLED", 3)];
    add(&mut bookings, 103, &life(20, ALONE, &cancelled));
    add(&mut bookings, 104, &life(21, ALONE, &[(Book, "BOOKED", 3)]));
    let absence = Uuid::from_u128(50);
    bookings.absences.push(Absence {
        id: absence,
        resource_id: CLINICIAN,
        starts_at: slot(8),
        ends_at: slot(10),
    });
    bookings.entries.push(Entry {
        name: "b0-1".to_owned(),
        change: Change::Absent,
        appointment: None,
        absence: Some(absence),
        wanted: None,
        outcome: Outcome::Acknowledged { state: None },
        ..bookings.entries[0].clone()
    });
    Observation {
        trail_is_intact: true,
        bookings,
        ..Observation::default()
    }
}

/// The invariants that are violated by bookings with this difference.
fn broken_by(difference: impl FnOnce(&mut Bookings)) -> Vec<&'static str> {
    broken_with(Vec::new(), difference)
}

/// As [`broken_by`], with these faults.
fn broken_with(faults: Vec<Happened>, difference: impl FnOnce(&mut Bookings)) -> Vec<&'static str> {
    let mut observed = good();
    observed.faults = faults;
    difference(&mut observed.bookings);
    broken(&observed)
}

fn broken(observed: &Observation) -> Vec<&'static str> {
    let broken = |invariant: &Invariant| !invariant.violations.is_empty();
    let invariants = check(&[], observed, None).into_iter().filter(broken);
    invariants.map(|invariant| invariant.name).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn bookings_without_violations_pass() {
    assert_eq!(broken_by(|_| ()), NOTHING);
}

#[test]
fn a_slot_that_is_not_what_the_state_says_is_found() {
    let nothing_taken = broken_by(|it| {
        it.occupied.pop();
    });
    assert_eq!(nothing_taken, [SLOTS]);
    let of_cancelled = broken_by(|it| it.occupied[0].appointment_id = Uuid::from_u128(103));
    assert_eq!(of_cancelled, [SLOTS]);
    let at_another_time = broken_by(|it| it.occupied[0].to += TimeDelta::minutes(1));
    assert_eq!(at_another_time, [SLOTS]);
    let of_nobody = broken_by(|it| {
        let mut more = it.occupied[0].clone();
        more.appointment_id = Uuid::from_u128(999);
        it.occupied.push(more);
    });
    assert_eq!(of_nobody, [SLOTS]);
}

#[test]
fn too_many_in_a_slot_are_found() {
    let full = broken_by(|it| {
        it.capacities.insert(GROUP, 1);
    });
    assert_eq!(full, [SLOTS]);
    let not_a_group = broken_by(|it| it.appointments[1].service_id = ALONE);
    assert_eq!(not_a_group, [SLOTS]);
    let patient_twice = broken_by(|it| {
        it.appointments[1].patient_id = Uuid::from_u128(22);
        for event in it
            .events
            .iter_mut()
            .filter(|event| event.appointment == Uuid::from_u128(101))
        {
            event.patient = Uuid::from_u128(22).to_string();
            event.key.clone_from(&event.patient);
        }
    });
    assert_eq!(patient_twice, [SLOTS]);
}

#[test]
fn what_was_lost_or_left_out_is_found() {
    let lost = broken_by(|it| {
        it.history.remove(&Uuid::from_u128(101));
        it.appointments.remove(1);
        it.occupied.remove(1);
        it.events
            .retain(|event| event.appointment != Uuid::from_u128(101));
        it.messages
            .retain(|it| it.appointment_id != Uuid::from_u128(101));
        it.sent.retain(|it| it.appointment != Uuid::from_u128(101));
    });
    assert_eq!(lost, [KEPT]);
    let gap = broken_by(|it| {
        let history = it.history.get_mut(&Uuid::from_u128(100)).unwrap();
        history[0].version = 0;
    });
    assert_eq!(gap, [KEPT, ONCE]);
    let elsewhere = broken_by(|it| {
        it.history.get_mut(&Uuid::from_u128(101)).unwrap()[0].resource_ids = vec![ALONE];
    });
    assert_eq!(elsewhere, [KEPT]);
    let other_state = broken_by(|it| it.appointments[3].status = "NO_SHOW".to_owned());
    assert_eq!(other_state, [KEPT]);
    let absence = broken_by(|it| it.absences.clear());
    assert_eq!(absence, [KEPT]);
    let returned = broken_by(|it| {
        let entry = it.entries.last().unwrap().clone();
        it.entries.push(Entry {
            change: Change::Return,
            ..entry
        });
    });
    assert_eq!(returned, [KEPT]);
}

#[test]
fn a_change_without_an_acknowledgement_or_with_two_is_found() {
    let refused = |problem: &str| Outcome::Refused {
        status: 409,
        problem: problem.to_owned(),
    };
    let after_all = broken_by(|it| it.entries[2].outcome = refused("slot-taken"));
    assert_eq!(after_all, [ONCE]);
    let unknown = broken_by(|it| it.entries[2].outcome = Outcome::Unknown);
    assert_eq!(unknown, NOTHING);
    let twice = broken_by(|it| it.entries.push(it.entries[3].clone()));
    assert_eq!(twice, [ONCE]);
    let moved_to_where_it_is = broken_by(|it| it.entries.push(it.entries[2].clone()));
    assert_eq!(moved_to_where_it_is, NOTHING);
}

#[test]
fn a_rejection_without_a_reason_is_found() {
    let with = |status, problem: &str, conditional| {
        broken_by(|it| {
            let outcome = Outcome::Refused {
                status,
                problem: problem.to_owned(),
            };
            it.entries.push(Entry {
                conditional,
                outcome,
                ..it.entries[1].clone()
            });
        })
    };
    for (status, problem) in [(409, "conflict"), (409, "hold-expired"), (412, "x")] {
        assert_eq!(with(status, problem, true), NOTHING, "{status} {problem}");
    }
    for (status, problem) in [
        (409, "slot-taken"),
        (412, "x"),
        (422, "not-bookable"),
        (400, "x"),
    ] {
        assert_eq!(
            with(status, problem, false),
            [REFUSALS],
            "{status} {problem}"
        );
    }
}

#[test]
fn missing_needless_and_misplaced_events_are_found() {
    assert_eq!(broken_by(|it| drop(it.events.remove(1))), [EVENTS]);
    assert_eq!(broken_by(|it| it.events.swap(0, 1)), [EVENTS]);
    let of_a_hold = broken_by(|it| {
        let mut event = it.events[0].clone();
        (event.id, event.version) = ("hold".to_owned(), 1);
        it.events.insert(0, event);
    });
    assert_eq!(of_a_hold, [EVENTS]);
    assert_eq!(broken_by(|it| it.events[1].sequence = 0), [EVENTS]);
    assert_eq!(broken_by(|it| it.events[1].start = time()), [EVENTS]);
    let other_key = broken_by(|it| it.events[0].key = ALONE.to_string());
    assert_eq!(other_key, [EVENTS]);
    let again = broken_by(|it| it.events.push(it.events[0].clone()));
    assert_eq!(again, NOTHING);
    let again_and_different = broken_by(|it| {
        let mut event = it.events[0].clone();
        event.start = time();
        it.events.push(event);
    });
    assert_eq!(again_and_different, [EVENTS]);
}

#[test]
fn orphans_that_are_none_and_missing_ones_are_found() {
    assert_eq!(
        broken_by(|it| it.appointments[0].orphaned = true),
        [ORPHANS]
    );
    let somebody_is_absent = broken_by(|it| it.absences[0].starts_at = slot(3));
    assert_eq!(somebody_is_absent, [ORPHANS]);
    let both = broken_by(|it| {
        it.absences[0].starts_at = slot(3);
        it.appointments[4].orphaned = true;
    });
    assert_eq!(both, NOTHING);
}

#[test]
fn missing_and_outdated_reminders_are_found() {
    assert_eq!(broken_by(|it| drop(it.messages.remove(0))), [REMINDED]);
    assert_eq!(broken_by(|it| it.messages[0].sequence = 0), [REMINDED]);
    let suppressed = broken_by(|it| it.messages[0].state = "SUPPRESSED".to_owned());
    assert_eq!(suppressed, NOTHING);
    let pending = |kind: &str, sequence| {
        broken_by(|it| {
            it.messages.push(Message {
                appointment_id: Uuid::from_u128(103),
                kind: kind.to_owned(),
                sequence,
                ..it.messages[0].clone()
            });
        })
    };
    assert_eq!(pending("APPOINTMENT_REMINDER", 1), [REMINDED]);
    assert_eq!(pending("APPOINTMENT_BOOKED", 0), [REMINDED]);
    assert_eq!(pending("APPOINTMENT_CANCELLED", 1), NOTHING);
}

#[test]
fn missing_outdated_and_invented_messages_are_found() {
    for last in [1, 3, 5] {
        assert_eq!(broken_by(|it| drop(it.sent.remove(last))), [TOLD], "{last}");
    }
    let overtaken = broken_by(|it| drop(it.sent.remove(0)));
    assert_eq!(overtaken, NOTHING);
    let late = |seconds| {
        broken_by(|it| it.sent[0].at = time() + TimeDelta::minutes(3) + TimeDelta::seconds(seconds))
    };
    assert_eq!((late(10), late(60)), (Vec::new(), vec![TOLD]));
    assert_eq!(broken_by(|it| it.sent[1].start = slot(7)), [TOLD]);
    let invented = broken_by(|it| {
        let mut sent = it.sent[1].clone();
        sent.method = "CANCEL".to_owned();
        it.sent.push(sent);
    });
    assert_eq!(invented, [TOLD]);
    let deleted = broken_by(|it| {
        it.patients.remove(&Uuid::from_u128(22));
    });
    assert_eq!(deleted, [TOLD]);
}

#[test]
fn a_second_message_is_accepted_only_with_a_fault_that_explains_it() {
    let twice = |it: &mut Bookings| {
        let mut again = it.sent[1].clone();
        again.at += TimeDelta::seconds(61);
        it.sent.push(again);
    };
    assert_eq!(broken_by(twice), [TOLD]);
    let fault = |kind, seconds| Happened {
        kind,
        from: time() + TimeDelta::minutes(3) + TimeDelta::seconds(seconds),
        to: time() + TimeDelta::minutes(3) + TimeDelta::seconds(seconds + 1),
    };
    for kind in [FaultKind::SenderKilled, FaultKind::Postgres] {
        assert_eq!(broken_with(vec![fault(kind, 2)], twice), NOTHING);
    }
    let too_late = |about: u128| {
        let mut observed = good();
        twice(&mut observed.bookings);
        let late = (
            Uuid::from_u128(about).to_string(),
            time() + TimeDelta::seconds(185),
        );
        observed.timed_out.push(late);
        broken(&observed)
    };
    assert_eq!(too_late(100), NOTHING);
    assert_eq!(too_late(101), [TOLD]);
    let others = vec![
        fault(FaultKind::ConsumersKilled, 0),
        fault(FaultKind::SenderKilled, 12),
    ];
    assert_eq!(broken_with(others, twice), [TOLD]);
}

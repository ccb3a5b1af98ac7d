//! The bookings: who has which slot, what became of it, and what the patients were told.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Evidence, Invariant,
    consequences::{CRASH_WINDOW, timed_out, windows},
};
use crate::{
    bookings::{Appointment, Bookings, Change, Entry, Event, EventKind, Outcome, REMINDERS, Step},
    faults::FaultKind,
};

/// How long after an appointment was changed a message may be accepted whose sender has read it
/// before: the commit and the call of SES, each as slow as it may be.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(20);

/// The states that take up a slot.
const ACTIVE: [&str; 4] = ["PENDING", "BOOKED", "ARRIVED", "FULFILLED"];

fn bookings<'a>(evidence: &Evidence<'a>) -> &'a Bookings {
    &evidence.observed.bookings
}

/// Who takes up what agrees with the states of the appointments, and nothing overlaps beyond what
/// the services allow: neither at a clinician nor at a patient.
pub(super) fn slots(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every slot is taken by as many as fit, and by their state");
    let bookings = bookings(evidence);
    let mut occupied: HashMap<Uuid, Vec<_>> = HashMap::new();
    for row in &bookings.occupied {
        let taken = (row.resource_id, row.from, row.to);
        occupied.entry(row.appointment_id).or_default().push(taken);
    }
    for appointment in &bookings.appointments {
        let mut taken = occupied.remove(&appointment.id).unwrap_or_default();
        taken.sort_unstable();
        let mut expected = Vec::new();
        if ACTIVE.contains(&&*appointment.status) {
            let (from, to) = (appointment.starts_at, appointment.ends_at);
            let resources = appointment.resource_ids.iter();
            expected.extend(resources.map(|resource| (*resource, from, to)));
            expected.sort_unstable();
        }
        invariant.check(taken == expected, || {
            let Appointment { id, status, .. } = appointment;
            format!("appointment {id} ({status}) takes up {taken:?} instead of {expected:?}")
        });
    }
    for stranger in occupied.keys() {
        invariant.check(false, || {
            format!("{stranger} takes up a slot, but does not exist")
        });
    }
    let active = bookings.appointments.iter();
    let active: Vec<_> = active
        .filter(|one| ACTIVE.contains(&&*one.status))
        .collect();
    for (place, one) in active.iter().enumerate() {
        let others = active.iter().enumerate().filter(|(other_place, other)| {
            *other_place != place && one.starts_at < other.ends_at && other.starts_at < one.ends_at
        });
        let others: Vec<_> = others.map(|(_, other)| *other).collect();
        for resource in &one.resource_ids {
            let with_it = others.iter();
            let with_it: Vec<_> = with_it
                .filter(|other| other.resource_ids.contains(resource))
                .collect();
            let capacity = bookings.capacities.get(&one.service_id).copied();
            let shares = |other: &&&Appointment| {
                other.service_id == one.service_id && other.starts_at == one.starts_at
            };
            let fits = with_it.iter().all(shares) && with_it.len() < capacity.unwrap_or_default();
            invariant.check(fits, || {
                let with_it: Vec<_> = with_it.iter().map(|other| other.id).collect();
                format!("appointment {} shares {resource} with {with_it:?}", one.id)
            });
        }
        // A hold that has expired is in nobody's way.
        let counts = |one: &Appointment| one.hold_expires_at.is_none_or(|end| end > bookings.at);
        let mut of_patient = others
            .iter()
            .filter(|other| other.patient_id == one.patient_id && counts(one) && counts(other));
        let other = of_patient.next().map(|other| other.id);
        invariant.check(other.is_none(), || {
            format!("the patient of {} has {other:?} at the same time", one.id)
        });
    }
    invariant
}

/// Every acknowledged change is in the history at its version, versions are without gaps, and the
/// appointment is as the last of them left it.
pub(super) fn are_kept(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every acknowledged booking is kept, version by version");
    let bookings = bookings(evidence);
    for entry in &bookings.entries {
        if let Some(wrong) = is_forgotten(entry, bookings) {
            invariant.check(false, || format!("{}: {wrong}", entry.name));
        } else {
            invariant.check(true, String::new);
        }
    }
    for appointment in &bookings.appointments {
        let history = history(bookings, appointment.id);
        let versions: Vec<i64> = history.iter().map(|version| version.version).collect();
        let is_whole = (1..=appointment.version).eq(versions.iter().copied());
        let is_last = history.last().is_some_and(|last| {
            last.status == appointment.status
                && last.starts_at == appointment.starts_at
                && last.resource_ids == appointment.resource_ids
                && sequence(history, last.version) == i64::from(appointment.sequence)
        });
        invariant.check(is_whole && is_last, || {
            let Appointment {
                id,
                version,
                status,
                ..
            } = appointment;
            format!("appointment {id} is {status} in version {version}; its history: {history:?}")
        });
    }
    invariant
}

fn is_forgotten(entry: &Entry, bookings: &Bookings) -> Option<String> {
    if !entry.is_acknowledged() {
        return None;
    }
    if let Some(absence) = entry.absence {
        let is_there = bookings.absences.iter().any(|one| one.id == absence);
        let mut returns = bookings
            .entries
            .iter()
            .filter(|other| other.change == Change::Return && other.absence == Some(absence));
        return match entry.change {
            Change::Absent if returns.next().is_none() => {
                (!is_there).then(|| format!("the absence {absence} is lost"))
            }
            Change::Return => is_there.then(|| format!("the absence {absence} is still there")),
            _ => None,
        };
    }
    let Some(told) = entry.acknowledged() else {
        return Some("the response is not an appointment".to_owned());
    };
    let history = history(bookings, told.id);
    let Some(version) = history.iter().find(|it| it.version == told.version) else {
        return Some(format!("version {} of {} is lost", told.version, told.id));
    };
    let is_same = version.status == told.status
        && version.starts_at == told.start
        && version.resource_ids == told.resource_ids;
    let is_it = entry.change.in_history() == Some(&*version.change);
    // It was there already.
    let is_no_move = entry.change == Change::Move && version.status == "BOOKED";
    let as_wanted = entry.wanted.is_none_or(|wanted| wanted == told.start);
    (!is_same || !as_wanted || !(is_it || is_no_move))
        .then(|| format!("{told:?} was acknowledged, {version:?} is stored"))
}

fn history(bookings: &Bookings, appointment: Uuid) -> &[Step] {
    bookings
        .history
        .get(&appointment)
        .map_or(&[], Vec::as_slice)
}

/// How often an appointment had been moved or cancelled by this version.
fn sequence(history: &[Step], version: i64) -> i64 {
    let so_far = history.iter().filter(|it| it.version <= version);
    let counted = so_far.filter(|it| matches!(&*it.change, "RESCHEDULED" | "CANCELLED"));
    counted.map(|_| 1).sum()
}

/// Every change that a user has made was acknowledged to one client, unless its outcome is unknown.
/// So none has happened twice, and none that was refused.
pub(super) fn happened_once(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every booking happened once, and no rejected one");
    let bookings = bookings(evidence);
    let mut told: HashMap<(Uuid, i64), Vec<&Entry>> = HashMap::new();
    for entry in &bookings.entries {
        if let Some(state) = entry.acknowledged() {
            let entries = told.entry((state.id, state.version)).or_default();
            entries.push(entry);
        }
    }
    for ((appointment, version), entries) in &told {
        // Whoever moves an appointment to where it is already gets the version that it has.
        let made = entries.iter().filter(|entry| entry.change != Change::Move);
        invariant.check(made.count() <= 1, || {
            let names: Vec<_> = entries.iter().map(|entry| &entry.name).collect();
            format!("version {version} of {appointment} was acknowledged to {names:?}")
        });
    }
    let unknown = bookings.entries.iter();
    let unknown = unknown.filter(|entry| matches!(entry.outcome, Outcome::Unknown));
    let unknown = unknown.count();
    let versions = bookings.history.values().flatten();
    let asked_for = versions.filter(|version| {
        version.actor.is_some()
            && matches!(
                &*version.change,
                "HELD" | "BOOKED" | "CONFIRMED" | "RESCHEDULED" | "CANCELLED" | "ARRIVED"
            )
    });
    let mut untold = Vec::new();
    for version in asked_for {
        invariant.checked += 1;
        let key = (version.appointment_id, version.version);
        let entries = told.get(&key).map_or(&[][..], Vec::as_slice);
        let mut named = entries.iter().map(|entry| entry.change.in_history());
        if !named.any(|name| name == Some(&*version.change)) {
            untold.push(version);
        }
    }
    if untold.len() > unknown {
        invariant.violations.extend(untold.iter().map(|version| {
            let Step {
                appointment_id,
                version,
                change,
                ..
            } = version;
            format!(
                "{change} (version {version} of {appointment_id}) was not acknowledged to anybody"
            )
        }));
    }
    invariant.notes.push(format!(
        "{} changes are of appointments, {unknown} of them with an unknown outcome",
        bookings.entries.len(),
    ));
    invariant
}

/// The rejections have a reason: others have taken the slot, or changed the appointment.
pub(super) fn refusals(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every rejection of a booking has a reason");
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &bookings(evidence).entries {
        let Outcome::Refused { status, problem } = &entry.outcome else {
            continue;
        };
        let is_new = entry.appointment.is_none();
        let has_reason = match (status, problem.as_str()) {
            (409, "slot-taken") => {
                matches!(entry.change, Change::Book | Change::Hold | Change::Move)
            }
            (409, "conflict") => !is_new,
            (409, "hold-expired") => entry.change == Change::Confirm,
            // A move that somebody else was faster with, even without a condition.
            (412, _) => entry.conditional || matches!(entry.change, Change::Move | Change::Arrive),
            // The patient may be deleted while their appointment is moved.
            (404, _) => entry.may_be_gone || entry.change == Change::Return || !is_new,
            _ => false,
        };
        *reasons.entry(format!("{status} {problem}")).or_default() += 1;
        invariant.check(has_reason, || {
            format!(
                "{} ({:?}) was rejected with {status} ({problem})",
                entry.name, entry.change
            )
        });
    }
    let reasons = reasons
        .iter()
        .map(|(reason, times)| format!("{times} x {reason}"));
    invariant.notes.push(reasons.collect::<Vec<_>>().join(", "));
    invariant
}

/// Every change that others have to hear of has its event, in the order of the versions, and no
/// other change has one.
pub(super) fn events(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every booking has its events once or more, in order");
    let bookings = bookings(evidence);
    let mut events: HashMap<Uuid, Vec<&Event>> = HashMap::new();
    let mut seen: HashMap<&str, &Event> = HashMap::new();
    let mut repeated = 0;
    for event in &bookings.events {
        if let Some(first) = seen.get(event.id.as_str()) {
            repeated += 1;
            invariant.check(*first == event, || {
                format!("event {} was repeated with different content", event.id)
            });
            continue;
        }
        seen.insert(&event.id, event);
        events.entry(event.appointment).or_default().push(event);
    }
    for appointment in &bookings.appointments {
        let history = history(bookings, appointment.id);
        let expected: Vec<_> = announced(history);
        let events = events.remove(&appointment.id).unwrap_or_default();
        let heard = events.iter().map(|event| {
            let Event {
                version,
                kind,
                sequence,
                start,
                ..
            } = event;
            (*version, *kind, *sequence, *start)
        });
        let heard: Vec<_> = heard.collect();
        let patient = appointment.patient_id.to_string();
        let is_theirs = |event: &&Event| event.key == patient && event.patient == patient;
        invariant.check(heard == expected && events.iter().all(is_theirs), || {
            format!(
                "appointment {}: {heard:?} on the topic, {expected:?} happened",
                appointment.id
            )
        });
    }
    invariant.notes.push(format!(
        "{repeated} events of appointments came more than once"
    ));
    invariant
}

/// What others have to hear of: the version, what happened, the sequence and the start.
fn announced(history: &[Step]) -> Vec<(i64, EventKind, i64, DateTime<Utc>)> {
    let mut was_booked = false;
    let mut announced = Vec::new();
    for version in history {
        let kind = match &*version.change {
            "BOOKED" | "CONFIRMED" => Some(EventKind::Booked),
            "RESCHEDULED" => Some(EventKind::Rescheduled),
            "CANCELLED" => was_booked.then_some(EventKind::Cancelled),
            "ARRIVED" => Some(EventKind::Arrived),
            "ORPHANED" => was_booked.then_some(EventKind::Orphaned),
            _ => None,
        };
        was_booked = version.status == "BOOKED";
        if let Some(kind) = kind {
            let sequence = sequence(history, version.version);
            announced.push((version.version, kind, sequence, version.starts_at));
        }
    }
    announced
}

/// An appointment is marked as orphaned if, and only if, somebody is absent then.
pub(super) fn orphans(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("an appointment is orphaned if somebody is absent then");
    let bookings = bookings(evidence);
    for appointment in &bookings.appointments {
        let is_held = appointment.status == "PENDING"
            && appointment
                .hold_expires_at
                .is_some_and(|end| end > bookings.at);
        if appointment.status != "BOOKED" && !is_held {
            continue;
        }
        let mut absences = bookings.absences.iter();
        let is_absent = absences.any(|absence| {
            appointment.resource_ids.contains(&absence.resource_id)
                && absence.starts_at < appointment.ends_at
                && appointment.starts_at < absence.ends_at
        });
        invariant.check(appointment.orphaned == is_absent, || {
            let Appointment { id, orphaned, .. } = appointment;
            format!("appointment {id}: orphaned is {orphaned}, somebody is absent: {is_absent}")
        });
    }
    invariant
}

/// Who is booked is reminded of it as it is now, and nothing that is out of date is still to be
/// sent.
pub(super) fn reminders(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every booking has its reminders, and nobody else has any");
    let bookings = bookings(evidence);
    let mut messages: HashMap<Uuid, Vec<_>> = HashMap::new();
    for message in &bookings.messages {
        messages
            .entry(message.appointment_id)
            .or_default()
            .push(message);
    }
    for appointment in &bookings.appointments {
        let messages = messages.remove(&appointment.id).unwrap_or_default();
        let is_expected = appointment.status == "BOOKED";
        if is_expected && appointment.starts_at > bookings.at {
            for (offset, channel) in REMINDERS
                .iter()
                .flat_map(|&offset| ["EMAIL", "SMS"].map(|channel| (offset, channel)))
            {
                let mut reminders = messages.iter().filter(|message| {
                    message.kind == "APPOINTMENT_REMINDER"
                        && message.channel == channel
                        && message.offset_minutes == offset
                        && message.sequence == appointment.sequence
                });
                let is_there = reminders.any(|it| matches!(&*it.state, "PENDING" | "SUPPRESSED"));
                invariant.check(is_there, || {
                    let id = appointment.id;
                    format!("appointment {id}: no reminder by {channel} {offset} minutes before")
                });
            }
        }
        for message in messages.iter().filter(|message| message.state == "PENDING") {
            let is_current = message.sequence == appointment.sequence;
            let is_true = match &*message.kind {
                "APPOINTMENT_CANCELLED" => appointment.status == "CANCELLED",
                _ => is_expected,
            };
            invariant.check(is_current && is_true, || {
                let Appointment { id, status, .. } = appointment;
                format!("appointment {id} ({status}): {message:?} is still to be sent")
            });
        }
    }
    invariant
}

/// Patients are told what is true, and once: of what they have in the end, and nothing that was out
/// of date when it was sent.
///
/// A second message is fine only if the sender may have been unable to record the first one, or did
/// not learn in time that SES had accepted it.
pub(super) fn told(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("every patient is told what they have, and once");
    let bookings = bookings(evidence);
    let mut sent: HashMap<_, Vec<DateTime<Utc>>> = HashMap::new();
    for mail in &bookings.sent {
        let history = history(bookings, mail.appointment);
        invariant.check(
            is_true(
                mail.method.as_str(),
                mail.sequence,
                mail.start,
                mail.at,
                history,
            ),
            || format!("{mail:?} was out of date; the history: {history:?}"),
        );
        let which = (mail.appointment, mail.method.as_str(), mail.sequence);
        sent.entry(which).or_default().push(mail.at);
    }
    let windows = sender_windows(evidence);
    let mut explained = 0;
    for (which, times) in &mut sent {
        times.sort_unstable();
        let again = times.iter().rev().skip(1);
        let unexplained = again.filter(|sent| {
            let about = which.0.to_string();
            let mut windows = windows.iter();
            !windows.any(|(from, to)| (*from..=*to).contains(*sent))
                && !timed_out(evidence, &about, **sent)
        });
        let unexplained = unexplained.count();
        explained += times.len() - 1 - unexplained;
        invariant.check(unexplained == 0, || {
            format!("{which:?} was sent {} times, at {times:?}", times.len())
        });
    }
    let mut gone = HashSet::new();
    for appointment in &bookings.appointments {
        let history = history(bookings, appointment.id);
        let was_booked = history.iter().any(|version| version.status == "BOOKED");
        let method = match &*appointment.status {
            "BOOKED" => "REQUEST",
            "CANCELLED" if was_booked => "CANCEL",
            _ => continue,
        };
        if !bookings.patients.contains(&appointment.patient_id) {
            gone.insert(appointment.patient_id);
            invariant.check(appointment.status == "CANCELLED", || {
                format!(
                    "appointment {} is booked for a deleted patient",
                    appointment.id
                )
            });
            continue;
        }
        let which = (appointment.id, method, i64::from(appointment.sequence));
        invariant.check(sent.contains_key(&which), || {
            format!("{which:?} was not sent")
        });
    }
    invariant.notes.push(format!(
        "{} messages; {explained} were sent again after a response that came too late, or after \
         a crash between SES and recording it, which would have been explained for {} s of the run; {} patients with appointments were deleted",
        bookings.sent.len(),
        windows.iter().map(|(from, to)| *to - *from).sum::<TimeDelta>().num_seconds(),
        gone.len(),
    ));
    invariant
}

/// Whether a message was true when it was sent, or a moment before.
fn is_true(
    method: &str,
    number: i64,
    start: DateTime<Utc>,
    sent: DateTime<Utc>,
    history: &[Step],
) -> bool {
    let mut of_sequence = history
        .iter()
        .filter(|version| sequence(history, version.version) == number);
    let status = if method == "CANCEL" {
        "CANCELLED"
    } else {
        "BOOKED"
    };
    let happened =
        of_sequence.any(|version| version.status == status && version.starts_at == start);
    let mut later = history
        .iter()
        .filter(|version| sequence(history, version.version) > number);
    let in_time = later.next().is_none_or(|next| sent <= next.at + ON_ITS_WAY);
    happened && in_time
}

/// When the sender of messages may have been unable to record one.
fn sender_windows(evidence: &Evidence<'_>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let causes = [
        FaultKind::SenderKilled,
        FaultKind::Postgres,
        FaultKind::PostgresSlow,
        FaultKind::PostgresHalfOpen,
    ];
    windows(evidence, &causes, CRASH_WINDOW)
}

#[cfg(test)]
mod tests;

//! The consequences of the changes: accounts, counts, messages.

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use contracts::patient::v1::patient_event::Change as Happened;
use system_tests::PATIENT_CONSUMERS;
use uuid::Uuid;

use super::{Evidence, Invariant, changes::announced};
use crate::{faults::FaultKind, observation::Counts};

/// How long after SES has accepted a message its sender may still be about to record that: a
/// second, because SES notes whole ones, and the time for its response and the record on a busy
/// machine.
pub(super) const CRASH_WINDOW: TimeDelta = TimeDelta::seconds(4);

/// Every patient who was created has one billing account, and nobody else has any. It is open, or
/// closed if the patient was deleted.
pub(super) fn accounts(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant =
        Invariant::new("one account for every patient created, closed once deleted");
    let created: HashSet<Uuid> = evidence.events.keys().copied().collect();
    let acknowledged = evidence.changes.iter();
    let acknowledged = acknowledged.filter_map(|change| change.acknowledged());
    let created: HashSet<Uuid> = acknowledged
        .map(|patient| patient.id)
        .chain(created)
        .chain(evidence.observed.rows.keys().copied())
        .collect();
    for patient_id in &created {
        let accounts = evidence.observed.accounts.get(patient_id);
        let states = accounts.cloned().unwrap_or_default();
        let is_gone = match last_change(evidence, patient_id) {
            // The account of a record that was merged ends with the one that continues it.
            Some(Happened::Merged(merged)) => {
                let survivor = merged.survivor_id.parse().unwrap_or_default();
                ends(last_change(evidence, &survivor))
            }
            last => ends(last),
        };
        let expected = if is_gone { "CLOSED" } else { "ACTIVE" };
        invariant.check(states == [expected], || {
            format!("patient {patient_id} has accounts in these states: {states:?}, not {expected}")
        });
    }
    let accounts = evidence.observed.accounts.keys();
    for stranger in accounts.filter(|id| !created.contains(id)) {
        invariant.check(false, || {
            format!("{stranger} has an account, but is not a patient")
        });
    }
    invariant
}

fn last_change<'a>(evidence: &Evidence<'a>, patient_id: &Uuid) -> Option<&'a Happened> {
    let events = evidence.events.get(patient_id).into_iter().flatten();
    events
        .last()
        .and_then(|record| record.event.change.as_ref())
}

const fn ends(change: Option<&Happened>) -> bool {
    matches!(change, Some(Happened::Deleted(_) | Happened::Erased(_)))
}

/// Analytics equal a recount of the events.
pub(super) fn analytics(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("analytics equal a recount of the events");
    let mut recount = Counts::new();
    for record in evidence.events.values().flatten() {
        let event = &record.event;
        let time = event.occurred_at.as_ref();
        let day = time.and_then(|time| DateTime::from_timestamp(time.seconds, 0));
        let Some(day) = day else { continue };
        let counts = recount.entry(day.date_naive()).or_default();
        let mut count = |kind: &str| *counts.entry(kind.to_owned()).or_default() += 1;
        match &event.change {
            Some(Happened::Created(_)) => {
                count("created");
                if let Some(patient) = announced(event.change.as_ref()) {
                    count(age_band(&patient.date_of_birth, &patient.registered_date));
                }
            }
            Some(Happened::Updated(_)) => count("updated"),
            Some(Happened::Deleted(_)) => count("deleted"),
            Some(Happened::Restored(_)) => count("restored"),
            Some(Happened::Erased(_)) => count("erased"),
            Some(Happened::Merged(_)) => count("merged"),
            Some(Happened::Unmerged(_)) => count("unmerged"),
            None => {}
        }
    }
    let observed = &evidence.observed.analytics;
    let days: HashSet<_> = observed.keys().chain(recount.keys()).collect();
    for day in days {
        let nothing = BTreeMap::new();
        let shown = observed.get(day).unwrap_or(&nothing);
        let counted = recount.get(day).unwrap_or(&nothing);
        let kinds: HashSet<_> = shown.keys().chain(counted.keys()).collect();
        for kind in kinds {
            let shown = shown.get(kind).copied().unwrap_or_default();
            let counted = counted.get(kind).copied().unwrap_or_default();
            invariant.check(shown == counted, || {
                format!("{day}, {kind}: {shown} shown, {counted} happened")
            });
        }
    }
    invariant
}

/// Computed independently of the system's own code.
fn age_band(date_of_birth: &str, registered_date: &str) -> &'static str {
    let date = |text: &str| text.parse::<NaiveDate>().unwrap_or_default();
    let age = date(registered_date).years_since(date(date_of_birth));
    match age.unwrap_or(0) {
        ..18 => "0-17",
        18..30 => "18-29",
        30..45 => "30-44",
        45..60 => "45-59",
        60..75 => "60-74",
        75.. => "75+",
    }
}

/// Every patient who was created has one notification, in the state SENT.
pub(super) fn notifications(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("one notification for every patient created, and sent");
    for (patient_id, _) in evidence.unpaired() {
        let states = evidence.observed.notifications.get(patient_id);
        let states = states.cloned().unwrap_or_default();
        invariant.check(states == ["SENT"], || {
            format!("patient {patient_id} has notifications in these states: {states:?}")
        });
    }
    invariant
}

/// How long after SES has accepted a message its sender may note that it has no response: its time
/// limits for SES and for its table.
const LATE_RESPONSE: TimeDelta = TimeDelta::seconds(15);

/// Every patient who was created has a welcome in their mailbox.
///
/// SES cannot be asked whether it has sent something. A consumer that dies, loses its table or waits
/// in vain for a response between SES accepting a message and recording that sends the message
/// again; nothing else is promised. A second message is fine only if a fault can have caused it; without such a fault it
/// is a violation.
pub(super) fn mails(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("one welcome for every patient created");
    let mut explained = 0;
    let created = evidence.events.values().filter_map(|events| events.first());
    for record in created {
        let Some(patient) = announced(record.event.change.as_ref()) else {
            continue;
        };
        let mails = evidence.observed.mails.get(&patient.email);
        let mut mails = mails.cloned().unwrap_or_default();
        mails.sort_unstable();
        let unexplained = mails
            .iter()
            .rev()
            .skip(1)
            .filter(|sent| !has_cause(evidence, **sent))
            .filter(|sent| !timed_out(evidence, &record.event.event_id, **sent));
        let unexplained = unexplained.count();
        explained += mails.len().saturating_sub(1 + unexplained);
        invariant.check(!mails.is_empty() && unexplained == 0, || {
            format!(
                "patient {}: {} messages, at {mails:?}",
                record.key,
                mails.len()
            )
        });
    }
    let windows = crash_windows(evidence).into_iter();
    let windows = windows.map(|(from, to)| to - from);
    invariant.notes.push(format!(
        "{explained} messages were sent again after a response that came too late, or a crash \
         between SES and recording it; \
         for {} s of the run, a crash would have explained that",
        windows.sum::<TimeDelta>().num_seconds()
    ));
    invariant
}

/// Whether the consumer may have been unable to record a message sent at this time.
fn has_cause(evidence: &Evidence<'_>, sent: DateTime<Utc>) -> bool {
    let windows = crash_windows(evidence);
    windows
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&sent))
}

/// Whether the sender had no response in time to a message about this event or appointment that was
/// accepted at this time.
pub(super) fn timed_out(evidence: &Evidence<'_>, about: &str, sent: DateTime<Utc>) -> bool {
    let mut timed_out = evidence.observed.timed_out.iter();
    timed_out.any(|(id, at)| id == about && (sent..=sent + LATE_RESPONSE).contains(at))
}

/// When a message may have been sent whose sender then died or lost its table, sorted and not
/// overlapping.
fn crash_windows(evidence: &Evidence<'_>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let causes = [FaultKind::ConsumersKilled, FaultKind::Dynamodb];
    windows(evidence, &causes, CRASH_WINDOW)
}

/// When one of these faults happened, from this long before it, sorted and not overlapping.
pub(super) fn windows(
    evidence: &Evidence<'_>,
    causes: &[FaultKind],
    before: TimeDelta,
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let faults = evidence.observed.faults.iter();
    let faults = faults.filter(|fault| causes.contains(&fault.kind));
    let mut windows: Vec<_> = faults
        .map(|fault| (fault.from - before, fault.to))
        .collect();
    windows.sort_unstable();
    windows.dedup_by(|next, window| {
        let touches = next.0 <= window.1;
        if touches {
            window.1 = window.1.max(next.1);
        }
        touches
    });
    windows
}

/// Undecodable records were set aside by every consumer, and nothing else was.
pub(super) fn dead_letters(evidence: &Evidence<'_>) -> Invariant {
    let mut invariant = Invariant::new("undecodable records are set aside, and nothing else");
    let mut letters: HashMap<_, HashSet<&str>> = HashMap::new();
    for letter in &evidence.observed.letters {
        let value = letter.value.as_deref().map(|value| STANDARD.decode(value));
        let value = value.map(Result::unwrap_or_default);
        let consumers = letters.entry((letter.key_text().unwrap_or_default(), value));
        consumers.or_default().insert(&letter.consumer);
    }
    let injected = evidence.observed.injected.iter();
    for record in injected.filter(|record| record.unreadable) {
        let consumers = letters.remove(&(record.key.clone(), record.value.clone()));
        let consumers = consumers.unwrap_or_default();
        for consumer in PATIENT_CONSUMERS {
            invariant.check(consumers.contains(consumer), || {
                format!(
                    "{consumer} has not set aside the record with key {}",
                    record.key
                )
            });
        }
    }
    for ((key, _), consumers) in letters {
        invariant.check(false, || {
            format!("{consumers:?} set aside a valid record of {key}")
        });
    }
    invariant
}

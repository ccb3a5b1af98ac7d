//! What an appointment was last counted as: an item for each, beside the counts.
//!
//! An event says what the appointment is after it, so the newest event decides as what it counts,
//! and the item says from where it has to be moved. An event that comes late moves nothing, but what
//! it says of the past still counts: that somebody has booked, moved or cancelled it, on that day.
//! So the figures are the same in whatever order the events come.

use std::collections::BTreeMap;

use api::ClinicTimeZone;
use chrono::{DateTime, Days, NaiveDate, Timelike as _, Utc};
use events::{AppointmentChange, AppointmentEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zones::Zone;

use super::{
    cell::{Cell, Team},
    figures::{Counter, Figures},
};

/// How many versions are remembered. Who changes an appointment more often than that may have a late
/// event go uncounted.
const MOST_VERSIONS: usize = 500;

/// How long the item of an appointment that no longer changes is kept: longer than one of its events
/// can be redelivered, as with the marks of [`events::seen`].
const REMEMBERED_FOR: Days = Days::new(30);

/// The state of an appointment, as far as others hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Booked,
    Arrived,
    Fulfilled,
    Cancelled,
    NoShow,
}

impl Status {
    /// The state after a change.
    const fn after(change: &AppointmentChange) -> Self {
        match change {
            AppointmentChange::Booked
            | AppointmentChange::Rescheduled { .. }
            | AppointmentChange::Orphaned => Self::Booked,
            AppointmentChange::Arrived { .. } => Self::Arrived,
            AppointmentChange::Fulfilled => Self::Fulfilled,
            AppointmentChange::Cancelled { .. } => Self::Cancelled,
            AppointmentChange::NoShow => Self::NoShow,
        }
    }

    /// Whether nothing can follow. A patient who was expected may be recorded long after the day,
    /// and a no-show may be corrected at any time.
    const fn is_final(self) -> bool {
        match self {
            Self::Fulfilled | Self::Cancelled => true,
            Self::Booked | Self::Arrived | Self::NoShow => false,
        }
    }

    const fn counter(self) -> Counter {
        match self {
            Self::Booked => Counter::Booked,
            Self::Arrived => Counter::Arrived,
            Self::Fulfilled => Counter::Fulfilled,
            Self::Cancelled => Counter::Cancelled,
            Self::NoShow => Counter::NoShow,
        }
    }
}

/// An appointment as an event describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    status: Status,
    /// Its date and hour on the clock of its location.
    day: NaiveDate,
    hour: u32,
    service_id: Uuid,
    /// Its clinicians; whatever it takes up if it has none.
    providers: Vec<Uuid>,
    minutes: u32,
    /// From the day of the booking to the day of the appointment, at its location.
    lead_days: u32,
}

impl Snapshot {
    fn of(event: &AppointmentEvent, clinic: ClinicTimeZone) -> Self {
        let appointment = &event.appointment;
        let day = appointment.local_start.date();
        let created_on = Zone::named(&appointment.time_zone).map_or_else(
            |_| clinic.day(appointment.created_at),
            |zone| zone.date(appointment.created_at),
        );
        let whole = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        Self {
            status: Status::after(&event.change),
            day,
            hour: appointment.local_start.hour(),
            service_id: appointment.service_id,
            providers: if appointment.clinician_ids.is_empty() {
                appointment.resource_ids.clone()
            } else {
                appointment.clinician_ids.clone()
            },
            minutes: whole((appointment.ends_at - appointment.starts_at).num_minutes()),
            lead_days: whole((day - created_on).num_days()),
        }
    }

    fn cells(&self, day: NaiveDate, hour: u32) -> [Cell; 2] {
        let team = Team::of(&self.providers);
        let service = self.service_id;
        [Cell::Hour { day, hour }, Cell::Team { day, service, team }]
    }
}

/// What an appointment was last counted as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counted {
    /// The event that was counted last, which need not be the newest.
    pub(crate) event_id: Uuid,
    /// The versions that were counted, in order.
    versions: Vec<i64>,
    /// What the newest of them says.
    newest: Snapshot,
    /// Whether the patient came without an appointment, and whether somebody has moved it: what an
    /// event of any age may say.
    walk_in: bool,
    moved: bool,
    /// When the item is no longer needed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// What an event does to the counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has been counted.
    AlreadyCounted,
    /// It is older than anything that is remembered of the appointment.
    TooOld,
    /// These cells change, and the item.
    Counts(Counted, Changes),
}

/// What is to be added to the cells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(BTreeMap<Cell, Figures>);

impl Changes {
    fn add(&mut self, cells: [Cell; 2], figures: &Figures) {
        for cell in cells {
            *self.0.entry(cell).or_default() += figures;
        }
    }

    fn subtract(&mut self, cells: [Cell; 2], figures: &Figures) {
        for cell in cells {
            *self.0.entry(cell).or_default() -= figures;
        }
    }

    /// The cells that change.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (&Cell, &Figures)> {
        let cells = self.0.iter();
        cells.filter(|(_, figures)| figures.changes().next().is_some())
    }
}

/// What this event does to the counts, given what the appointment was counted as before.
pub(crate) fn count(
    before: Option<&Counted>,
    event: &AppointmentEvent,
    clinic: ClinicTimeZone,
    now: DateTime<Utc>,
) -> Outcome {
    let version = event.appointment_version;
    let mut versions = before.map_or_else(Vec::new, |before| before.versions.clone());
    let Err(position) = versions.binary_search(&version) else {
        return Outcome::AlreadyCounted;
    };
    if position == 0 && versions.len() >= MOST_VERSIONS {
        return Outcome::TooOld;
    }
    let is_newest = position == versions.len();
    versions.insert(position, version);
    let too_many = versions.len().saturating_sub(MOST_VERSIONS);
    versions.drain(..too_many);

    let snapshot = Snapshot::of(event, clinic);
    let made = clinic.local(event.occurred_at);
    let activity = snapshot.cells(made.date_naive(), made.hour());
    let newest = before
        .filter(|_| !is_newest)
        .map_or(snapshot, |before| before.newest.clone());
    let said_before = |fact: fn(&Counted) -> bool| before.is_some_and(fact);
    let after = Counted {
        event_id: event.id,
        versions,
        walk_in: said_before(|before| before.walk_in)
            || matches!(
                event.change,
                AppointmentChange::Arrived { walk_in: true, .. }
            ),
        moved: said_before(|before| before.moved) || is_moved(&event.change),
        expires_at: newest
            .status
            .is_final()
            .then(|| expires_at(before, event, now)),
        newest,
    };

    let mut changes = Changes::default();
    if let Some(before) = before {
        changes.subtract(before.cells(), &before.figures());
    }
    changes.add(after.cells(), &after.figures());
    changes.add(activity, &made_by(&event.change));
    Outcome::Counts(after, changes)
}

/// When the item of an appointment that no longer changes expires.
fn expires_at(before: Option<&Counted>, event: &AppointmentEvent, now: DateTime<Utc>) -> i64 {
    let over_at = event.appointment.ends_at.max(now);
    let expires_at = over_at.checked_add_days(REMEMBERED_FOR).unwrap_or(over_at);
    let before = before.and_then(|before| before.expires_at);
    expires_at.timestamp().max(before.unwrap_or_default())
}

/// Whether somebody has moved it: nobody has if the rules of its time zone have changed.
const fn is_moved(change: &AppointmentChange) -> bool {
    matches!(
        change,
        AppointmentChange::Rescheduled {
            by_time_zone_rules: false,
            ..
        }
    )
}

/// What was done, on the day on which it was done.
fn made_by(change: &AppointmentChange) -> Figures {
    let mut figures = Figures::default();
    let made = match change {
        AppointmentChange::Booked => Some(Counter::MadeBooked),
        AppointmentChange::Cancelled { .. } => Some(Counter::MadeCancelled),
        _ if is_moved(change) => Some(Counter::MadeRescheduled),
        _ => None,
    };
    if let Some(made) = made {
        figures.add(made, 1);
    }
    figures
}

impl Counted {
    fn cells(&self) -> [Cell; 2] {
        self.newest.cells(self.newest.day, self.newest.hour)
    }

    /// What the appointment is now.
    fn figures(&self) -> Figures {
        let now = &self.newest;
        let mut figures = Figures::default();
        figures.add(now.status.counter(), 1);
        figures.add(Counter::Rescheduled, self.moved);
        figures.add(Counter::WalkIns, self.walk_in);
        if now.status != Status::Cancelled {
            figures.add(Counter::BookedMinutes, now.minutes);
            if !self.walk_in {
                figures.add(Counter::LeadDays, now.lead_days);
                figures.add(Counter::of_lead(now.lead_days), 1);
            }
        }
        if matches!(now.status, Status::Arrived | Status::Fulfilled) {
            figures.add(Counter::OccupiedMinutes, now.minutes);
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn event(version: i64, change: AppointmentChange) -> AppointmentEvent {
        AppointmentEvent {
            id: Uuid::now_v7(),
            occurred_at: at("2026-03-02T08:00:00Z"),
            appointment_id: Uuid::from_u128(1),
            appointment_version: version,
            patient_id: Uuid::from_u128(2),
            appointment: events::Appointment {
                service_id: Uuid::from_u128(3),
                service_code: "CONSULT-30".to_owned(),
                location_id: Uuid::from_u128(4),
                resource_ids: vec![Uuid::from_u128(5)],
                clinician_ids: Vec::new(),
                starts_at: at("2026-03-10T09:00:00Z"),
                ends_at: at("2026-03-10T09:45:00Z"),
                time_zone: "Etc/UTC".to_owned(),
                local_start: at("2026-03-10T09:00:00Z").naive_utc(),
                sequence: 0,
                created_at: at("2026-03-02T08:00:00Z"),
                reminder_minutes: Vec::new(),
            },
            change,
        }
    }

    fn after(before: Option<&Counted>, event: &AppointmentEvent) -> Option<(Counted, Changes)> {
        let now = at("2026-03-12T00:00:00Z");
        match count(before, event, ClinicTimeZone::UTC, now) {
            Outcome::Counts(after, changes) => Some((after, changes)),
            Outcome::AlreadyCounted | Outcome::TooOld => None,
        }
    }

    #[test]
    fn what_changes_nothing_touches_no_cell() {
        let (booked, changes) = after(None, &event(1, AppointmentChange::Booked)).unwrap();
        assert_eq!(
            changes.cells().count(),
            4,
            "its own, and those of the booking"
        );
        let (orphaned, changes) =
            after(Some(&booked), &event(2, AppointmentChange::Orphaned)).unwrap();
        assert_eq!(changes.cells().count(), 0);
        assert_eq!(orphaned.newest, booked.newest);
    }

    #[test]
    fn a_change_of_state_stays_in_the_cells_of_the_appointment() {
        let (booked, _) = after(None, &event(1, AppointmentChange::Booked)).unwrap();
        let (_, changes) = after(Some(&booked), &event(2, AppointmentChange::NoShow)).unwrap();
        let changes: Vec<_> = changes
            .cells()
            .map(|(_, figures)| figures.changes().collect::<Vec<_>>())
            .collect();
        let expected = vec![(Counter::Booked, -1), (Counter::NoShow, 1)];
        assert_eq!(changes, [expected.clone(), expected]);
    }

    #[test]
    fn only_so_many_versions_are_remembered() {
        let mut counted = None;
        let most = i64::try_from(MOST_VERSIONS).unwrap();
        for version in 2..most + 4 {
            let (next, _) = after(
                counted.as_ref(),
                &event(version, AppointmentChange::Orphaned),
            )
            .unwrap();
            counted = Some(next);
        }
        let counted = counted.unwrap();
        assert_eq!(counted.versions.len(), MOST_VERSIONS);
        let outcome = |version| {
            let event = event(version, AppointmentChange::Booked);
            count(Some(&counted), &event, ClinicTimeZone::UTC, Utc::now())
        };
        assert_eq!(outcome(1), Outcome::TooOld);
        assert_eq!(outcome(2), Outcome::TooOld);
        assert_eq!(outcome(most), Outcome::AlreadyCounted);
    }

    #[test]
    fn an_appointment_in_an_unknown_zone_was_booked_on_a_day_of_the_clinic() {
        let mut event = event(1, AppointmentChange::Booked);
        event.appointment.time_zone = "Europe/Atlantis".to_owned();
        event.appointment.created_at = at("2026-03-10T08:00:00Z");
        let (counted, _) = after(None, &event).unwrap();
        assert_eq!(counted.newest.lead_days, 0);
        // Whatever an event says, nothing is negative.
        event.appointment.created_at = at("2026-04-10T08:00:00Z");
        event.appointment.ends_at = at("2026-03-10T08:00:00Z");
        let (counted, _) = after(None, &event).unwrap();
        assert_eq!((counted.newest.lead_days, counted.newest.minutes), (0, 0));
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let (counted, _) = after(None, &event(1, AppointmentChange::Booked)).unwrap();
        let item: crate::counters::Item = serde_dynamo::to_item(&counted).unwrap();
        let read: Counted = serde_dynamo::from_item(item).unwrap();
        assert_eq!(read, counted);
    }
}

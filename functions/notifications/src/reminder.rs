//! When a reminder is due.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, TimeDelta, Utc};
use events::Appointment;
use zones::Zone;

const MINUTES_OF_A_DAY: u32 = 24 * 60;

/// Nobody is reminded earlier than a year before.
const EARLIEST: u32 = 366 * MINUTES_OF_A_DAY;

/// The most reminders of one appointment.
const MOST: usize = 10;

/// A reminder of an appointment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder {
    /// How long before the start.
    pub minutes: u32,
    /// When it is due.
    pub due_at: DateTime<Utc>,
}

/// The reminders of an appointment.
///
/// Whole days before are calendar days: at the same wall time, whether or not the clocks are
/// changed in between. Where that wall time does not exist, it is when the clocks are put forward.
/// Anything else is elapsed time.
#[must_use]
pub fn reminders(appointment: &Appointment) -> Vec<Reminder> {
    let zone = Zone::named(&appointment.time_zone);
    let minutes: BTreeSet<u32> = appointment
        .reminder_minutes
        .iter()
        .copied()
        .filter(|minutes| (1..=EARLIEST).contains(minutes))
        .collect();
    minutes
        .into_iter()
        .take(MOST)
        .map(|minutes| Reminder {
            minutes,
            due_at: due_at(appointment, zone.as_ref().ok(), minutes),
        })
        .collect()
}

fn due_at(appointment: &Appointment, zone: Option<&Zone>, minutes: u32) -> DateTime<Utc> {
    let elapsed = appointment.starts_at - TimeDelta::minutes(minutes.into());
    if !minutes.is_multiple_of(MINUTES_OF_A_DAY) {
        return elapsed;
    }
    let days = Days::new(u64::from(minutes / MINUTES_OF_A_DAY));
    let wall = appointment.local_start.checked_sub_days(days);
    zone.zip(wall)
        .map_or(elapsed, |(zone, wall)| zone.instants(wall).first())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use uuid::Uuid;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        let wall = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M");
        wall.unwrap().and_utc()
    }

    fn due(zone: &str, local_start: &str, minutes: &[u32]) -> Vec<DateTime<Utc>> {
        let local_start = NaiveDateTime::parse_from_str(local_start, "%Y-%m-%d %H:%M").unwrap();
        let starts_at = Zone::named(zone).unwrap().instants(local_start).first();
        let appointment = Appointment {
            service_id: Uuid::nil(),
            service_code: String::new(),
            location_id: Uuid::nil(),
            resource_ids: Vec::new(),
            clinician_ids: Vec::new(),
            starts_at,
            ends_at: starts_at + TimeDelta::minutes(30),
            time_zone: zone.to_owned(),
            local_start,
            sequence: 0,
            created_at: starts_at,
            reminder_minutes: minutes.to_vec(),
        };
        let reminders = reminders(&appointment);
        reminders.iter().map(|reminder| reminder.due_at).collect()
    }

    #[test]
    fn whole_days_before_are_at_the_same_wall_time() {
        for (zone, start, minutes, expected) in [
            (
                "Europe/London",
                "2026-03-30 09:00",
                2880,
                "2026-03-28 09:00",
            ),
            (
                "Europe/London",
                "2026-10-26 09:00",
                2880,
                "2026-10-24 08:00",
            ),
            (
                "America/New_York",
                "2026-11-02 09:00",
                1440,
                "2026-11-01 14:00",
            ),
            // 02:30 does not exist on the day before.
            (
                "America/New_York",
                "2026-03-09 02:30",
                1440,
                "2026-03-08 07:00",
            ),
            // 01:30 exists twice on the day before.
            (
                "Europe/London",
                "2026-10-26 01:30",
                1440,
                "2026-10-25 00:30",
            ),
        ] {
            assert_eq!(
                due(zone, start, &[minutes]),
                [utc(expected)],
                "{zone} {start}"
            );
        }
    }

    #[test]
    fn hours_before_are_elapsed_time() {
        assert_eq!(
            due("Europe/London", "2026-03-29 02:30", &[120]),
            [utc("2026-03-28 23:30")]
        );
        assert_eq!(
            due("Europe/London", "2026-03-30 09:00", &[1500]),
            [utc("2026-03-29 07:00")]
        );
    }

    #[test]
    fn the_reminders_of_an_appointment_are_bounded() {
        let start = "2026-06-01 09:00";
        assert_eq!(
            due("Europe/London", start, &[0, 120, 120, u32::MAX]).len(),
            1
        );
        let many: Vec<u32> = (1..100).collect();
        assert_eq!(due("Europe/London", start, &many).len(), MOST);
    }
}

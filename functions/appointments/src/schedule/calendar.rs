//! What is known of the time of some resources over some days: when they work, and what they are
//! taken up with. One query for each table, however many resources and days there are.

use std::{collections::HashMap, ops::Range};

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use sqlx::postgres::types::PgRange;
use store::Transaction;
use uuid::Uuid;
use zones::{Instants, Zone};

use super::{
    resource::ResourceKind,
    service::Service,
    windows::{DAY, Windows},
};
use crate::period::{Period, Periods};

/// Whoever is alone with a resource takes all seats of a group; whoever is overbooked sits here and
/// beyond.
pub(crate) const FIRST_EXTRA_SEAT: i32 = 1001;

/// A resource, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Bookable {
    pub(crate) id: Uuid,
    /// Stands for it in the occupancy.
    pub(crate) number: i32,
    /// Counts the changes of its schedule.
    pub(crate) version: i64,
    pub(crate) kind: ResourceKind,
    pub(crate) location: Uuid,
    pub(crate) zone: Zone,
}

/// What takes up a resource.
#[derive(Debug, Clone)]
pub(crate) struct Occupied {
    pub(crate) appointment: Uuid,
    pub(crate) service: Uuid,
    pub(crate) seats: Range<i32>,
    pub(crate) period: Period,
}

/// Why a resource is not there, though it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotThere {
    /// Its location is closed.
    Closed,
    /// It is absent.
    Absent,
    /// It does not work then.
    OutsideHours,
}

/// The longest that anything takes up a resource: a service and its buffer, each of at most a day.
pub(crate) const LONGEST: TimeDelta = TimeDelta::days(2);

/// The time of one resource.
#[derive(Debug, Default)]
pub(crate) struct Time {
    /// When it works by its hours and exceptions, on days when its location is open.
    hours: Periods,
    /// The same without closures.
    hours_if_open: Periods,
    /// When it works and is not absent.
    there: Periods,
    /// In the order of their starts.
    occupied: Vec<Occupied>,
    /// The longest of them: how far back one may begin that matters.
    longest: TimeDelta,
}

/// The time of some resources over some days.
#[derive(Debug, Default)]
pub(crate) struct Calendar(HashMap<Uuid, Time>);

impl Time {
    /// Whether it works and is not absent for all of this period.
    pub(crate) fn is_there(&self, period: Period) -> bool {
        self.there.cover(period)
    }

    /// Why it is not there for all of this period, if it is not.
    pub(crate) fn not_there(&self, period: Period) -> Option<NotThere> {
        if self.is_there(period) {
            None
        } else if self.hours.cover(period) {
            Some(NotThere::Absent)
        } else if self.hours_if_open.cover(period) {
            Some(NotThere::Closed)
        } else {
            Some(NotThere::OutsideHours)
        }
    }

    /// What takes it up during this period, other than this appointment.
    pub(crate) fn during(
        &self,
        period: Period,
        except: Option<Uuid>,
    ) -> impl Iterator<Item = &Occupied> {
        let first = period.start - self.longest;
        let first = self
            .occupied
            .partition_point(|other| other.period.start < first);
        let end = self
            .occupied
            .partition_point(|other| other.period.start < period.end);
        self.occupied
            .get(first..end)
            .unwrap_or_default()
            .iter()
            .filter(move |other| other.period.overlaps(period) && Some(other.appointment) != except)
    }

    /// How much takes it up in all.
    pub(crate) const fn load(&self) -> usize {
        self.occupied.len()
    }

    /// The seats for a patient of this service during this period, if there are any.
    pub(crate) fn seats(
        &self,
        service: &Service,
        period: Period,
        except: Option<Uuid>,
    ) -> Option<Range<i32>> {
        let mut others = self.during(period, except).peekable();
        if service.capacity == 1 {
            return others.peek().is_none().then_some(1..FIRST_EXTRA_SEAT);
        }
        let others: Vec<&Occupied> = others.collect();
        // Those who begin at the same time share a session. Any other one has the resource to itself.
        let shares =
            |other: &Occupied| other.service == service.id && other.period.start == period.start;
        if !others.iter().all(|other| shares(other)) {
            return None;
        }
        (1..=service.capacity)
            .find(|seat| !others.iter().any(|other| other.seats.contains(seat)))
            .map(|seat| seat..seat + 1)
    }

    /// A seat beyond all others during this period.
    pub(crate) fn extra_seat(&self, period: Period, except: Option<Uuid>) -> Range<i32> {
        let taken = self.during(period, except).map(|other| other.seats.end);
        let seat = taken
            .max()
            .map_or(FIRST_EXTRA_SEAT, |end| end.max(FIRST_EXTRA_SEAT));
        seat..seat + 1
    }
}

impl Calendar {
    /// The time of this resource.
    pub(crate) fn of(&self, resource: &Bookable) -> &Time {
        static UNKNOWN: Time = Time {
            hours: Periods::EMPTY,
            hours_if_open: Periods::EMPTY,
            there: Periods::EMPTY,
            occupied: Vec::new(),
            longest: TimeDelta::zero(),
        };
        self.0.get(&resource.id).unwrap_or(&UNKNOWN)
    }

    /// Reads the time of these resources on these days, and on a day before and two after, because
    /// hours may continue over midnight. Holds that have expired by `now` take up nothing.
    pub(crate) async fn read(
        transaction: &mut Transaction,
        resources: &[Bookable],
        days: (NaiveDate, NaiveDate),
        now: DateTime<Utc>,
    ) -> Result<Self, sqlx::Error> {
        let mut calendar = Self::read_schedules(transaction, resources, days).await?;
        calendar
            .read_occupancy(transaction, resources, whole(days), now)
            .await?;
        Ok(calendar)
    }

    /// Reads only when they work.
    pub(crate) async fn read_schedules(
        transaction: &mut Transaction,
        resources: &[Bookable],
        days: (NaiveDate, NaiveDate),
    ) -> Result<Self, sqlx::Error> {
        let (first, last) = around(days);
        let schedules = Schedules::read(transaction, resources, first, last).await?;
        let mut calendar = Self::default();
        for resource in resources {
            let time = schedules.time(resource, first, last);
            calendar.0.insert(resource.id, time);
        }
        Ok(calendar)
    }

    /// Reads, possibly again, what takes up these resources during this period.
    pub(crate) async fn read_occupancy(
        &mut self,
        transaction: &mut Transaction,
        resources: &[Bookable],
        during: Period,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let numbers: Vec<i32> = resources.iter().map(|resource| resource.number).collect();
        let rows = sqlx::query!(
            r#"SELECT resource_number, appointment_id, service_id,
                      lower(seats) AS "first_seat!", upper(seats) AS "end_seat!",
                      lower(during) AS "starts_at!", upper(during) AS "ends_at!"
               FROM appointments.occupancy
               WHERE resource_number = ANY($1) AND upper(during) > $2 AND lower(during) < $3
                   AND upper(during) < $5
                   AND appointment_id NOT IN (
                       SELECT id FROM appointments.appointment
                       WHERE status = 'PENDING' AND hold_expires_at <= $4
                   )
               ORDER BY lower(during)"#,
            &numbers,
            during.start,
            during.end,
            now,
            // Follows from the third, but the index does not know that.
            during.end + LONGEST,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let occupied = rows.into_iter().map(|row| {
            let occupied = Occupied {
                appointment: row.appointment_id,
                service: row.service_id,
                seats: row.first_seat..row.end_seat,
                period: Period::new(row.starts_at, row.ends_at),
            };
            (row.resource_number, occupied)
        });
        self.occupy(resources, occupied);
        Ok(())
    }

    /// Replaces what takes up these resources, by their numbers, in the order of the starts.
    pub(crate) fn occupy(
        &mut self,
        resources: &[Bookable],
        all: impl IntoIterator<Item = (i32, Occupied)>,
    ) {
        let ids: HashMap<i32, Uuid> = resources
            .iter()
            .map(|resource| (resource.number, resource.id))
            .collect();
        for time in self.0.values_mut() {
            time.occupied.clear();
        }
        for (number, occupied) in all {
            let time = ids.get(&number).and_then(|id| self.0.get_mut(id));
            if let Some(time) = time {
                let duration = occupied.period.end - occupied.period.start;
                time.longest = time.longest.max(duration);
                time.occupied.push(occupied);
            }
        }
    }
}

/// With a day before and two after.
fn around((first, last): (NaiveDate, NaiveDate)) -> (NaiveDate, NaiveDate) {
    (first - Days::new(1), last + Days::new(2))
}

/// All that these days could be at any place, with what reaches into them.
pub(crate) fn whole(days: (NaiveDate, NaiveDate)) -> Period {
    let (first, last) = around(days);
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Period::new(
        midnight(first) - TimeDelta::days(1),
        midnight(last) + TimeDelta::days(2),
    )
}

/// The rules that the working time of some resources follows from.
struct Schedules {
    /// By resource, the newest first.
    hours: HashMap<Uuid, Vec<(NaiveDate, Windows)>>,
    exceptions: HashMap<(Uuid, NaiveDate), Windows>,
    closures: Vec<(Uuid, NaiveDate)>,
    absences: HashMap<Uuid, Vec<Period>>,
}

impl Schedules {
    async fn read(
        transaction: &mut Transaction,
        resources: &[Bookable],
        first: NaiveDate,
        last: NaiveDate,
    ) -> Result<Self, sqlx::Error> {
        let ids: Vec<Uuid> = resources.iter().map(|resource| resource.id).collect();
        let mut locations: Vec<Uuid> = resources.iter().map(|resource| resource.location).collect();
        locations.sort_unstable();
        locations.dedup();

        // One round trip: every booking reads them.
        let rules = sqlx::query!(
            r#"SELECT 'HOURS' AS "rule!", resource_id AS "of!", valid_from AS "day?",
                      windows AS "windows?: Vec<PgRange<i32>>",
                      NULL::timestamptz AS starts_at, NULL::timestamptz AS ends_at
               FROM appointments.hours
               WHERE resource_id = ANY($1) AND valid_from <= $4
               UNION ALL
               SELECT 'EXCEPTION', resource_id, day, windows, NULL, NULL
               FROM appointments.day_exception
               WHERE resource_id = ANY($1) AND day BETWEEN $3 AND $4
               UNION ALL
               SELECT 'CLOSURE', location_id, day, NULL, NULL, NULL
               FROM appointments.closure
               WHERE location_id = ANY($2) AND day BETWEEN $3 AND $4
               UNION ALL
               SELECT 'ABSENCE', resource_id, NULL, NULL, starts_at, ends_at
               FROM appointments.absence
               WHERE resource_id = ANY($1) AND ends_at > $5 AND starts_at < $6
               ORDER BY 3 DESC"#,
            &ids,
            &locations,
            first,
            last,
            first.and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(1),
            last.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(2),
        )
        .fetch_all(transaction)
        .await?;
        let (mut hours, mut exceptions) = (HashMap::<_, Vec<_>>::new(), HashMap::new());
        let (mut closures, mut absences) = (Vec::new(), HashMap::<_, Vec<_>>::new());
        for rule in rules {
            let windows = rule.windows.as_deref().map(Windows::stored);
            let period = rule.starts_at.zip(rule.ends_at);
            match (rule.rule.as_str(), rule.day, windows, period) {
                ("HOURS", Some(day), Some(windows), _) => {
                    hours.entry(rule.of).or_default().push((day, windows));
                }
                ("EXCEPTION", Some(day), Some(windows), _) => {
                    exceptions.insert((rule.of, day), windows);
                }
                ("CLOSURE", Some(day), ..) => closures.push((rule.of, day)),
                (_, _, _, Some((start, end))) => {
                    absences
                        .entry(rule.of)
                        .or_default()
                        .push(Period::new(start, end));
                }
                _ => {}
            }
        }
        Ok(Self {
            hours,
            exceptions,
            closures,
            absences,
        })
    }

    fn time(&self, resource: &Bookable, first: NaiveDate, last: NaiveDate) -> Time {
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for day in first.iter_days().take_while(|day| *day <= last) {
            let is_closed = self.closures.contains(&(resource.location, day));
            let periods = if is_closed { &mut closed } else { &mut open };
            let exception = self.exceptions.get(&(resource.id, day)).map(Windows::all);
            let windows: Vec<(i32, i32)> = match exception {
                Some(windows) => windows.collect(),
                None => self.weekly(resource.id, day),
            };
            let windows = windows.into_iter();
            periods.extend(windows.flat_map(|window| on(&resource.zone, day, window)));
        }
        let absences = self.absences.get(&resource.id).cloned().unwrap_or_default();
        let absences = Periods::of(absences);
        let hours = Periods::of(open.clone());
        closed.extend(open);
        Time {
            there: hours.without(&absences),
            hours,
            hours_if_open: Periods::of(closed),
            ..Time::default()
        }
    }
}

impl Schedules {
    /// The weekly hours that are valid on this day.
    fn weekly(&self, resource: Uuid, day: NaiveDate) -> Vec<(i32, i32)> {
        let hours = self.hours.get(&resource).map_or(&[][..], Vec::as_slice);
        let valid = hours.iter().find(|(valid_from, _)| *valid_from <= day);
        valid.map_or_else(Vec::new, |(_, windows)| windows.on(day.weekday()).collect())
    }
}

/// From one time on the clock to another, on this day. When the clocks are put back, the hour that
/// comes twice belongs to it both times, as far as the clocks show a time within it; when they are
/// put forward, the hour that is skipped does not exist.
fn on(zone: &Zone, day: NaiveDate, (from, to): (i32, i32)) -> Vec<Period> {
    let (from, to) = (zone.instants(wall(day, from)), zone.instants(wall(day, to)));
    let whole = Period::new(from.first(), to.last());
    match (from, to) {
        (Instants::Twice(..), Instants::Twice(..)) => vec![
            Period::new(from.first(), to.first()),
            Period::new(from.last(), to.last()),
        ],
        (Instants::Twice(_, again), _) => {
            let change = zone.last_change(again);
            vec![
                Period::new(from.first(), change),
                Period::new(again, to.last()),
            ]
        }
        (_, Instants::Twice(first, again)) => {
            let change = zone.last_change(again);
            vec![Period::new(from.first(), first), Period::new(change, again)]
        }
        _ => vec![whole],
    }
}

/// The wall time this many minutes after midnight, on the clock.
pub(crate) fn wall(day: NaiveDate, minutes: i32) -> NaiveDateTime {
    let day = if minutes == DAY {
        day + Days::new(1)
    } else {
        day
    };
    day.and_time(NaiveTime::MIN) + TimeDelta::minutes((minutes % DAY).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
            .unwrap()
            .and_utc()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn opening_hours_follow_the_clock_on_the_wall() {
        for (zone, date, open, close) in [
            (
                "Europe/London",
                "2026-03-28",
                "2026-03-28 13:00",
                "2026-03-28 18:00",
            ),
            (
                "Europe/London",
                "2026-03-29",
                "2026-03-29 12:00",
                "2026-03-29 17:00",
            ),
            (
                "America/New_York",
                "2026-03-07",
                "2026-03-07 18:00",
                "2026-03-07 23:00",
            ),
            (
                "America/New_York",
                "2026-03-08",
                "2026-03-08 17:00",
                "2026-03-08 22:00",
            ),
        ] {
            let zone = Zone::named(zone).unwrap();
            let open = Period::new(at(open), at(close));
            assert_eq!(on(&zone, day(date), (13 * 60, 18 * 60)), [open], "{date}");
        }
    }

    #[test]
    fn a_repeated_hour_counts_twice_and_a_skipped_one_not_at_all() {
        let london = Zone::named("Europe/London").unwrap();
        let night = |date| on(&london, day(date), (30, 180));
        let longer = Period::new(at("2026-10-24 23:30"), at("2026-10-25 03:00"));
        assert_eq!(night("2026-10-25"), [longer]);
        let shorter = Period::new(at("2026-03-29 00:30"), at("2026-03-29 02:00"));
        assert_eq!(night("2026-03-29"), [shorter]);
        let skipped = on(&london, day("2026-03-29"), (70, 110));
        assert_eq!(skipped[0].start, skipped[0].end);
        let until_midnight = on(&london, day("2026-06-01"), (0, DAY));
        assert_eq!(until_midnight[0].end, at("2026-06-01 23:00"));
    }

    #[test]
    fn a_window_may_begin_or_end_within_a_repeated_hour() {
        let london = Zone::named("Europe/London").unwrap();
        let night = |from, to| on(&london, day("2026-10-25"), (from, to));
        let period = |from: &str, to: &str| {
            let at = |time: &str| at(&format!("2026-10-25 {time}"));
            Period::new(at(from), at(to))
        };
        // British summer time ends at 01:00Z, when the clocks go from 02:00 back to 01:00.
        let until = [
            Period::new(at("2026-10-24 23:00"), at("2026-10-25 00:30")),
            period("01:00", "01:30"),
        ];
        assert_eq!(night(0, 90), until);
        assert_eq!(
            night(90, 180),
            [period("00:30", "01:00"), period("01:30", "03:00")]
        );
        assert_eq!(
            night(70, 90),
            [period("00:10", "00:30"), period("01:10", "01:30")]
        );
    }

    fn service(capacity: i32) -> Service {
        Service {
            id: Uuid::from_u128(1),
            version: 1,
            code: "A".to_owned(),
            name: "A".to_owned(),
            duration_minutes: 60,
            buffer_after_minutes: 0,
            grid_minutes: 60,
            notice_minutes: 0,
            horizon_days: 1,
            capacity,
            resource_kinds: vec![ResourceKind::Clinician],
            reminder_minutes: vec![],
            created_at: at("2026-01-01 00:00"),
        }
    }

    fn taken(seats: &[(u128, Range<i32>)]) -> Time {
        let occupied = seats.iter().map(|(service, seats)| Occupied {
            appointment: Uuid::from_u128(seats.start.cast_unsigned().into()),
            service: Uuid::from_u128(*service),
            seats: seats.clone(),
            period: Period::new(at("2026-06-01 09:00"), at("2026-06-01 10:00")),
        });
        Time {
            occupied: occupied.collect(),
            longest: TimeDelta::hours(1),
            ..Time::default()
        }
    }

    #[test]
    fn a_group_shares_a_resource_and_nobody_else_does() {
        let slot = Period::new(at("2026-06-01 09:00"), at("2026-06-01 10:00"));
        let half = Period::new(at("2026-06-01 09:30"), at("2026-06-01 10:30"));
        let seats = |capacity, seats: &[_]| taken(seats).seats(&service(capacity), slot, None);
        assert_eq!(seats(1, &[]), Some(1..FIRST_EXTRA_SEAT));
        assert_eq!(seats(1, &[(1, 2..3)]), None, "alone");
        assert_eq!(seats(3, &[(1, 1..2), (1, 3..4)]), Some(2..3));
        assert_eq!(seats(2, &[(1, 1..2), (1, 2..3)]), None, "full");
        let overlap = taken(&[(1, 1..2)]).seats(&service(3), half, None);
        assert_eq!(overlap, None, "another session of the same group");
        assert_eq!(seats(3, &[(2, 3..4)]), None, "another group");
        assert_eq!(
            seats(3, &[(1, 1..FIRST_EXTRA_SEAT)]),
            None,
            "somebody alone"
        );
        let later = Period::new(at("2026-06-01 10:00"), at("2026-06-01 11:00"));
        assert!(
            taken(&[(1, 1..2)])
                .seats(&service(1), later, None)
                .is_some()
        );
        let own = Some(Uuid::from_u128(1));
        assert!(taken(&[(1, 1..2)]).seats(&service(1), slot, own).is_some());
    }

    #[test]
    fn whoever_is_overbooked_sits_beyond_everybody() {
        let slot = Period::new(at("2026-06-01 09:30"), at("2026-06-01 10:30"));
        let extra = |seats: &[_]| taken(seats).extra_seat(slot, None).start;
        assert_eq!(extra(&[]), FIRST_EXTRA_SEAT);
        assert_eq!(extra(&[(1, 1..FIRST_EXTRA_SEAT)]), FIRST_EXTRA_SEAT);
        assert_eq!(
            extra(&[(1, 1001..1002), (1, 1..1001)]),
            FIRST_EXTRA_SEAT + 1
        );
    }
}

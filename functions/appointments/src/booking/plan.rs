//! Whether an appointment can be had, and with what: the rules of the service, and everything that
//! stands in the way.

use std::ops::Range;

use api::{Conflict, ConflictReason, Problem, ProblemType};
use chrono::{DateTime, NaiveDate, NaiveTime, Timelike as _, Utc};
use store::Transaction;
use uuid::Uuid;
use zones::Zone;

use super::{
    occupancy::{self, InTheWay},
    resources::{self, locations},
    start::Start,
};
use crate::{
    period::Period,
    schedule::{
        calendar::{self, Bookable, Calendar, NotThere},
        resource::ResourceKind,
        service::Service,
        slots::Candidates,
    },
};

/// What somebody wants to book.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) service: &'a Service,
    /// The resources that they ask for; of the service's other kinds, any.
    pub(crate) asked_for: &'a [Uuid],
    /// Book even what is not free.
    pub(crate) regardless: bool,
    /// Whoever walks in is there: at any time, and outside hours.
    pub(crate) at_any_time: bool,
    /// The appointment that is moved, which does not stand in its own way.
    pub(crate) except: Option<Uuid>,
}

/// The seats that it would take up of a resource: its id and its number in the occupancy.
pub(crate) type Seat = (Uuid, i32, Range<i32>);

/// Who wants it, where and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    pub(crate) patient: Uuid,
    /// Where, if it matters.
    pub(crate) location: Option<Uuid>,
    /// The first and the last day that it could be on.
    pub(crate) days: (NaiveDate, NaiveDate),
    pub(crate) now: DateTime<Utc>,
}

/// What it would take up.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) location: Uuid,
    pub(crate) zone: Zone,
    pub(crate) period: Period,
    /// With the buffer.
    pub(crate) occupied: Period,
    /// In the order of the service's kinds.
    pub(crate) seats: Vec<Seat>,
    /// Those of its resources that are clinicians, in the order of their numbers.
    pub(crate) clinicians: Vec<Uuid>,
    /// Whether all resources are there then, by their hours and absences.
    pub(crate) is_attended: bool,
}

impl Plan {
    pub(crate) fn resource_ids(&self) -> Vec<Uuid> {
        self.seats.iter().map(|(id, ..)| *id).collect()
    }
}

/// When a service starts and ends, and until when its resources are taken up.
pub(crate) fn periods_of(service: &Service, start: DateTime<Utc>) -> (Period, Period) {
    let period = Period::new(start, start + service.duration());
    (
        period,
        Period::new(start, period.end + service.buffer_after()),
    )
}

/// The clinicians among these resources who have a seat.
pub(crate) fn clinicians(resources: &[Bookable], seats: &[Seat]) -> Vec<Uuid> {
    let clinicians = resources.iter().filter(|resource| {
        resource.kind == ResourceKind::Clinician && seats.iter().any(|(id, ..)| *id == resource.id)
    });
    clinicians.map(|resource| resource.id).collect()
}

/// When the patient has to be free: as planned or, where nothing could be, at all times that it
/// could have been.
fn times(decided: &Result<Vec<Plan>, Problem>, all: &[Period]) -> Vec<Period> {
    match decided {
        Ok(plans) => plans.iter().map(|plan| plan.period).collect(),
        Err(_) => all.to_vec(),
    }
}

/// The plans, unless the patient is busy; otherwise, that beside whatever else is in the way.
fn with_all_conflicts(
    decided: Result<Vec<Plan>, Problem>,
    busy: Vec<Conflict>,
) -> Result<Vec<Plan>, Problem> {
    let mut conflicts = match decided {
        Ok(plans) if busy.is_empty() => return Ok(plans),
        Ok(_) => Vec::new(),
        Err(problem) if problem.conflicts().is_empty() => return Err(problem),
        Err(problem) => problem.conflicts().to_vec(),
    };
    conflicts.extend(busy);
    Err(Problem::slot_taken(conflicts))
}

impl Wanted<'_> {
    /// Rejects resources that the service cannot use.
    ///
    /// # Errors
    /// 400 if one of them does not exist or is of a kind that the service does not need, if two of
    /// them are of the same kind, or if they are at different locations.
    pub(crate) fn must_fit(&self, locked: &[Bookable]) -> Result<(), Problem> {
        let invalid = |detail| Err(Problem::invalid_field("resourceIds", detail));
        let found: Vec<&Bookable> = locked
            .iter()
            .filter(|resource| self.asked_for.contains(&resource.id))
            .collect();
        if found.len() != self.asked_for.len() {
            return invalid("The service needs no such resources, or one is named twice");
        }
        for (place, resource) in found.iter().enumerate() {
            let others = found.get(place + 1..).unwrap_or_default();
            if others.iter().any(|other| other.kind == resource.kind) {
                return invalid("The service needs only one resource of each kind");
            }
            if others
                .iter()
                .any(|other| other.location != resource.location)
            {
                return invalid("The resources are at different locations");
            }
        }
        Ok(())
    }

    /// Decides twice: before anything is locked, so that nobody waits in line for what is taken; and
    /// again with the patient and all resources locked, until the transaction ends. `starts` says
    /// when it could start in a zone.
    ///
    /// # Errors
    /// 400 if the resources do not fit, 404 if the patient has just been deleted, 409 with all that
    /// is in the way; what `decide` refuses; or if the database does not respond.
    pub(crate) async fn settle(
        &self,
        transaction: &mut Transaction,
        wish: Wish,
        starts: impl Fn(&Zone) -> Vec<DateTime<Utc>>,
        decide: impl Fn(&[Bookable], &Calendar) -> Result<Vec<Plan>, Problem>,
    ) -> Result<Vec<Plan>, Problem> {
        let Wish {
            patient,
            location,
            days,
            now,
        } = wish;
        let kinds = &self.service.resource_kinds;
        let found = resources::find(transaction, kinds, self.asked_for, location).await?;
        self.must_fit(&found)?;
        let (mut periods, mut occupied) = (Vec::new(), Vec::new());
        for (_, zone) in locations(&found) {
            for start in starts(zone) {
                let (period, with_buffer) = periods_of(self.service, start);
                periods.push(period);
                occupied.push(with_buffer);
            }
        }
        // Where there is a choice, whoever has least to do on that day is chosen.
        let needed = if found.len() > kinds.len() {
            None
        } else {
            Period::around(&occupied)
        };
        let mut needed = needed.unwrap_or_else(|| calendar::whole(days));
        let of_patient = Period::around(&periods).map(|period| (patient, period));
        // Whoever books regardless does so whatever else the patient has.
        let of_patient = of_patient.filter(|_| !self.regardless);
        let mut calendar = Calendar::read_schedules(transaction, &found, days).await?;
        let seen = InTheWay::look(transaction, &mut calendar, &found, needed, of_patient, now);
        let seen = seen.await?;
        let decided = decide(&found, &calendar);
        let busy = seen.busy(&times(&decided, &periods), self.except);
        with_all_conflicts(decided, busy)?;

        occupancy::lock_patient(transaction, patient).await?;
        let locked = resources::lock_found(transaction, &found, patient).await?;
        let known = |one: &Bookable| (one.id, one.version);
        if !locked.iter().map(known).eq(found.iter().map(known)) {
            calendar = Calendar::read_schedules(transaction, &locked, days).await?;
            needed = calendar::whole(days);
        }
        let seen = InTheWay::look(transaction, &mut calendar, &locked, needed, of_patient, now);
        let seen = seen.await?;
        let decided = decide(&locked, &calendar);
        let busy = seen.busy(&times(&decided, &periods), self.except);
        let plans = with_all_conflicts(decided, busy)?;
        if seen.expired_holds {
            let numbers: Vec<i32> = locked.iter().map(|resource| resource.number).collect();
            occupancy::expire_holds(transaction, &numbers, now).await?;
        }
        Ok(plans)
    }

    /// What it would take up at this time: the least busy of the resources that are free, or those
    /// that are asked for.
    ///
    /// # Errors
    /// The rule of the service that it breaks, or everything that stands in the way.
    pub(crate) fn plan(
        &self,
        start: Start,
        locked: &[Bookable],
        calendar: &Calendar,
        now: DateTime<Utc>,
    ) -> Result<Plan, Problem> {
        let mut conflicts = Vec::new();
        let mut refusal = None;
        for (location, zone) in locations(locked) {
            let start = match start.instant(zone) {
                Ok(start) => start,
                Err(problem) => {
                    refusal.get_or_insert(problem);
                    continue;
                }
            };
            if let Err(problem) = self.must_be_bookable(start, zone, now) {
                refusal.get_or_insert(problem);
                continue;
            }
            match self.seats(location, start, locked, calendar) {
                Ok(seats) => {
                    let (period, occupied) = periods_of(self.service, start);
                    let is_attended = seats.iter().all(|(id, ..)| {
                        let mut known = locked.iter().filter(|resource| resource.id == *id);
                        known.all(|resource| calendar.of(resource).is_there(period))
                    });
                    return Ok(Plan {
                        is_attended,
                        clinicians: clinicians(locked, &seats),
                        location,
                        zone: zone.clone(),
                        period,
                        occupied,
                        seats,
                    });
                }
                Err(more) => conflicts.extend(more),
            }
        }
        if let (Some(refusal), true) = (refusal, conflicts.is_empty()) {
            return Err(refusal);
        }
        Err(Problem::slot_taken(conflicts))
    }

    /// Rejects what the service does not offer at any time like this.
    fn must_be_bookable(
        &self,
        start: DateTime<Utc>,
        zone: &Zone,
        now: DateTime<Utc>,
    ) -> Result<(), Problem> {
        let service = self.service;
        if self.at_any_time {
            return Ok(());
        }
        let refuse = |detail: String| Err(Problem::new(ProblemType::NotBookable, detail));
        if start < now {
            return refuse("The time is in the past".to_owned());
        }
        if start > now + service.horizon() {
            let days = service.horizon_days;
            return refuse(format!("It can be booked {days} days ahead at most"));
        }
        if self.regardless {
            return Ok(());
        }
        if start < now + service.notice() {
            let minutes = service.notice_minutes;
            return refuse(format!("It has to be booked {minutes} minutes ahead"));
        }
        let midnight = NaiveTime::MIN;
        let minutes = (zone.local(start).time() - midnight).num_minutes();
        if minutes % i64::from(service.grid_minutes) != 0 || start.second() != 0 {
            let grid = service.grid_minutes;
            return refuse(format!(
                "It starts at multiples of {grid} minutes after midnight at the location"
            ));
        }
        Ok(())
    }

    /// A resource of each kind, with its seats; or why there is none.
    pub(crate) fn seats(
        &self,
        location: Uuid,
        start: DateTime<Utc>,
        locked: &[Bookable],
        calendar: &Calendar,
    ) -> Result<Vec<Seat>, Vec<Conflict>> {
        let (period, occupied) = periods_of(self.service, start);
        let kinds = &self.service.resource_kinds;
        let candidates = Candidates::at(location, kinds, locked, self.asked_for);
        let (mut seats, mut conflicts) = (Vec::new(), Vec::new());
        for resources in candidates.by_kind() {
            let mut by_load: Vec<&&Bookable> = resources.iter().collect();
            by_load.sort_by_key(|resource| {
                let time = calendar.of(resource);
                (!time.is_there(period), time.load())
            });
            let free = by_load.iter().find_map(|resource| {
                let time = calendar.of(resource);
                let there = self.at_any_time || time.is_there(period);
                let seats = time.seats(self.service, occupied, self.except);
                let seats = seats.filter(|_| there);
                seats.map(|seats| (resource.id, resource.number, seats))
            });
            match (free, by_load.first()) {
                (Some(seat), _) => seats.push(seat),
                (None, Some(resource)) if self.regardless => {
                    let extra = calendar.of(resource).extra_seat(occupied, self.except);
                    seats.push((resource.id, resource.number, extra));
                }
                (None, _) => {
                    let all = resources.iter();
                    conflicts.extend(all.flat_map(|resource| {
                        self.conflicts_of(resource, calendar, period, occupied)
                    }));
                }
            }
        }
        if seats.len() == kinds.len() {
            return Ok(seats);
        }
        Err(conflicts)
    }

    fn conflicts_of(
        &self,
        resource: &Bookable,
        calendar: &Calendar,
        period: Period,
        occupied: Period,
    ) -> Vec<Conflict> {
        let time = calendar.of(resource);
        let mut conflicts = Vec::new();
        if let Some(reason) = time.not_there(period).filter(|_| !self.at_any_time) {
            conflicts.push(Conflict {
                reason: match reason {
                    NotThere::Closed => ConflictReason::Closed,
                    NotThere::Absent => ConflictReason::Absent,
                    NotThere::OutsideHours => ConflictReason::OutsideHours,
                },
                resource_id: Some(resource.id),
                appointment_id: None,
                start: period.start,
                end: period.end,
            });
        }
        if time.seats(self.service, occupied, self.except).is_none() {
            let others = time.during(occupied, self.except);
            conflicts.extend(others.map(|other| Conflict {
                reason: ConflictReason::Taken,
                resource_id: Some(resource.id),
                appointment_id: Some(other.appointment),
                start: other.period.start,
                end: other.period.end,
            }));
        }
        conflicts
    }
}

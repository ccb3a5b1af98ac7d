//! The slots in which a service can be had: computed, never stored.

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::{
    calendar::{Bookable, Calendar, wall},
    resource::ResourceKind,
    service::Service,
    windows::DAY,
};
use crate::period::Period;

/// A time at which a patient can come, and the resources that are free then: one of each kind that
/// the service needs, in the order of its kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) period: Period,
    pub(crate) resources: Vec<Uuid>,
}

/// The resources at one location that a service could use, by the service's kinds.
pub(crate) struct Candidates<'a>(Vec<Vec<&'a Bookable>>);

impl<'a> Candidates<'a> {
    /// Those at this location, for these kinds. Of the kind of a resource that somebody asks for
    /// (`only`), there is only that one.
    pub(crate) fn at(
        location: Uuid,
        kinds: &[ResourceKind],
        resources: &'a [Bookable],
        only: &[Uuid],
    ) -> Self {
        let of_kind = |kind| {
            let here = resources
                .iter()
                .filter(|resource| resource.location == location && resource.kind == kind);
            let asked_for = here.clone().filter(|resource| only.contains(&resource.id));
            let asked_for: Vec<&Bookable> = asked_for.collect();
            if asked_for.is_empty() {
                here.collect()
            } else {
                asked_for
            }
        };
        Self(kinds.iter().map(|&kind| of_kind(kind)).collect())
    }

    /// The candidates, by kind.
    pub(crate) fn by_kind(&self) -> impl Iterator<Item = &[&'a Bookable]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The zone of the location, if anything is there.
    fn zone(&self) -> Option<&'a zones::Zone> {
        let first = self.0.first()?.first()?;
        Some(&first.zone)
    }
}

/// The slots of a service at one location from one day to another, on a grid from local midnight:
/// a time that the clocks show twice is two slots, one that they skip is none. Slots before
/// `earliest` on the day of `today` and after it are left out, and those after `latest`. Days before
/// are as they were.
pub(crate) fn slots(
    service: &Service,
    candidates: &Candidates<'_>,
    calendar: &Calendar,
    (first, last): (NaiveDate, NaiveDate),
    now: DateTime<Utc>,
) -> Vec<Slot> {
    let Some(zone) = candidates.zone() else {
        return Vec::new();
    };
    let today = zone.date(now);
    let (earliest, latest) = (now + service.notice(), now + service.horizon());
    let grid = usize::try_from(service.grid_minutes).unwrap_or(1).max(1);
    let mut slots = Vec::new();
    for day in first.iter_days().take_while(|day| *day <= last) {
        for minutes in (0..DAY).step_by(grid) {
            for start in zone.instants(wall(day, minutes)).all() {
                if (day >= today && start < earliest) || start > latest {
                    continue;
                }
                let period = Period::new(start, start + service.duration());
                if let Some(resources) = free(service, candidates, calendar, period) {
                    slots.push(Slot { period, resources });
                }
            }
        }
    }
    // The second 01:30 of a night comes after the first 01:45.
    slots.sort_by_key(|slot| slot.period);
    slots
}

/// A free resource of each kind, if there is one of each.
fn free(
    service: &Service,
    candidates: &Candidates<'_>,
    calendar: &Calendar,
    period: Period,
) -> Option<Vec<Uuid>> {
    let occupied = Period::new(period.start, period.end + service.buffer_after());
    let free = candidates.by_kind().map(|resources| {
        let free = resources.iter().find(|resource| {
            let time = calendar.of(resource);
            time.is_there(period) && time.seats(service, occupied, None).is_some()
        });
        free.map(|resource| resource.id)
    });
    free.collect()
}

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

/// The slots of a service at one location from one day to another, day by day, on a grid from local
/// midnight: a time that the clocks show twice is two slots, one that they skip is none. From today
/// on, there are only those that can still be booked; days before are as they were. At most `most`
/// of each day are looked for.
pub(crate) fn slots(
    service: &Service,
    candidates: &Candidates<'_>,
    calendar: &Calendar,
    (first, last): (NaiveDate, NaiveDate),
    now: DateTime<Utc>,
    most: usize,
) -> impl Iterator<Item = Slot> {
    let zone = candidates.zone();
    let (earliest, latest) = (now + service.notice(), now + service.horizon());
    let grid = usize::try_from(service.grid_minutes).unwrap_or(1).max(1);
    let days = first.iter_days().take_while(move |day| *day <= last);
    let days = zone.into_iter().flat_map(move |zone| {
        let today = zone.date(now);
        days.clone().map(move |day| (zone, day, day >= today))
    });
    days.flat_map(move |(zone, day, is_to_come)| {
        let mut starts: Vec<DateTime<Utc>> = (0..DAY)
            .step_by(grid)
            .flat_map(|minutes| zone.instants(wall(day, minutes)).all())
            .filter(|start| *start <= latest && (*start >= earliest || !is_to_come))
            .collect();
        // The second 01:30 of a night comes after the first 01:45.
        starts.sort_unstable();
        let slots = starts.into_iter().filter_map(|start| {
            let period = Period::new(start, start + service.duration());
            let resources = free(service, candidates, calendar, period)?;
            Some(Slot { period, resources })
        });
        slots.take(most).collect::<Vec<Slot>>()
    })
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

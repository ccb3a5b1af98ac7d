//! Counts every patient event once, on the day when it happened, in the clinic's time zone.
//!
//! A transaction advances the marks of some patients to the last of their events, and adds all these
//! events to the day's counters. So an event that is redelivered, or arrives after a later one of its
//! patient, fails on the mark; the others are counted without it.

use api::ClinicTimeZone;
use events::{Batch, Change, Handled, PatientEvent};
use store::Table;

pub use crate::counting::CountError;
use crate::{
    additions::{Additions, Place},
    age_band::AgeBand,
    counters::{band_attribute, month_partition},
    counting::by_marks,
};

/// Counts these events, except those that have been counted or are out of date.
pub async fn count(
    table: &Table,
    clinic: ClinicTimeZone,
    batch: Batch<'_, PatientEvent>,
) -> Handled<CountError> {
    by_marks(table, &batch, |event| Ok(additions(clinic, event))).await
}

fn additions(clinic: ClinicTimeZone, event: &PatientEvent) -> Additions {
    let day = clinic.day(event.occurred_at);
    let place = Place {
        partition: month_partition(day),
        sort: day.to_string(),
    };
    let mut additions = Additions::default();
    if let Change::Created(patient) | Change::CreatedWithoutWelcome(patient) = &event.change {
        let band = AgeBand::at_registration(patient.date_of_birth, patient.registered_date);
        additions.add(place.clone(), band_attribute(band), 1);
    }
    additions.add(place, event.change.kind(), 1);
    additions
}

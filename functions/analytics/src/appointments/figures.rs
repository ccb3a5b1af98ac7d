//! What is counted, and sums of it.

use std::{
    collections::BTreeMap,
    num::ParseIntError,
    ops::{AddAssign, SubAssign},
};

use aws_sdk_dynamodb::types::AttributeValue;
use strum::VariantArray as _;

use crate::counters::Item;

/// Something that is counted. Its name is that of the attribute.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[strum(serialize_all = "camelCase")]
pub(crate) enum Counter {
    /// Appointments whose patients are expected.
    Booked,
    /// Appointments whose patients are there.
    Arrived,
    /// Appointments that have taken place.
    Fulfilled,
    /// Appointments whose patients did not come.
    NoShow,
    /// Appointments that will not take place.
    Cancelled,
    /// Those of all these that somebody has moved.
    Rescheduled,
    /// Those whose patients came without an appointment.
    WalkIns,
    /// The length of all that were not cancelled.
    BookedMinutes,
    /// The length of those whose patients came.
    OccupiedMinutes,
    /// The sum of the lead times.
    LeadDays,
    /// Booked on the day itself.
    LeadOf0,
    /// Booked in the week before.
    LeadOf1To7,
    /// Booked in the week before that.
    LeadOf8To14,
    /// Booked in the month before.
    LeadOf15To30,
    /// Booked earlier.
    LeadOf31,
    /// Bookings made.
    MadeBooked,
    /// Moves made.
    MadeRescheduled,
    /// Cancellations made.
    MadeCancelled,
}

impl Counter {
    /// The name of the attribute.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The band of a lead time.
    pub(crate) const fn of_lead(days: u32) -> Self {
        match days {
            0 => Self::LeadOf0,
            1..=7 => Self::LeadOf1To7,
            8..=14 => Self::LeadOf8To14,
            15..=30 => Self::LeadOf15To30,
            31.. => Self::LeadOf31,
        }
    }
}

/// A counter is not a whole number.
#[derive(Debug, thiserror::Error)]
#[error("the counter {0} is not a whole number")]
pub(crate) struct MalformedCounter(&'static str, #[source] Option<ParseIntError>);

/// How much was counted of each, or is to be added to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures(BTreeMap<Counter, i64>);

impl Figures {
    /// Adds to a counter.
    pub(crate) fn add(&mut self, counter: Counter, number: impl Into<i64>) {
        *self.0.entry(counter).or_default() += number.into();
    }

    /// How much was counted.
    pub(crate) fn of(&self, counter: Counter) -> u64 {
        let number = self.0.get(&counter).copied().unwrap_or_default();
        // What is read is a sum of additions to which every subtraction belongs.
        number.try_into().unwrap_or_default()
    }

    /// The counters that change.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (Counter, i64)> {
        let counters = self.0.iter().map(|(counter, number)| (*counter, *number));
        counters.filter(|(_, number)| *number != 0)
    }

    /// Reads an item. Counters that are missing are 0.
    ///
    /// # Errors
    /// If a counter is not a whole number.
    pub(crate) fn read(item: &Item) -> Result<Self, MalformedCounter> {
        let mut figures = Self::default();
        for &counter in Counter::VARIANTS {
            let name = counter.name();
            let number = match item.get(name) {
                None => continue,
                Some(AttributeValue::N(number)) => number
                    .parse::<i64>()
                    .map_err(|error| MalformedCounter(name, Some(error)))?,
                Some(_) => return Err(MalformedCounter(name, None)),
            };
            figures.add(counter, number);
        }
        Ok(figures)
    }
}

impl AddAssign<&Self> for Figures {
    fn add_assign(&mut self, other: &Self) {
        for (counter, number) in &other.0 {
            self.add(*counter, *number);
        }
    }
}

impl SubAssign<&Self> for Figures {
    fn sub_assign(&mut self, other: &Self) {
        for (counter, number) in &other.0 {
            self.add(*counter, -number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bands_of_lead_times_have_no_gaps() {
        let name = |days| Counter::of_lead(days).name();
        assert_eq!(
            [0, 1, 7, 8, 14, 15, 30, 31, 400].map(name),
            [
                "leadOf0",
                "leadOf1To7",
                "leadOf1To7",
                "leadOf8To14",
                "leadOf8To14",
                "leadOf15To30",
                "leadOf15To30",
                "leadOf31",
                "leadOf31",
            ]
        );
    }

    #[test]
    fn what_is_taken_back_changes_nothing() {
        let mut figures = Figures::default();
        figures.add(Counter::Booked, 1);
        figures.add(Counter::BookedMinutes, 30);
        let mut change = figures.clone();
        change -= &figures;
        assert_eq!(change.changes().count(), 0);
        change -= &figures;
        let changes: Vec<_> = change.changes().collect();
        assert_eq!(
            changes,
            [(Counter::Booked, -1), (Counter::BookedMinutes, -30)]
        );
    }

    #[test]
    fn a_counter_is_a_whole_number() {
        let item = |value| Item::from([("noShow".to_owned(), value)]);
        let read = Figures::read(&item(AttributeValue::N("7".to_owned()))).unwrap();
        assert_eq!(read.of(Counter::NoShow), 7);
        assert_eq!(read.of(Counter::Booked), 0);
        assert!(Figures::read(&item(AttributeValue::N("0.5".to_owned()))).is_err());
        assert!(Figures::read(&item(AttributeValue::S("7".to_owned()))).is_err());
    }
}

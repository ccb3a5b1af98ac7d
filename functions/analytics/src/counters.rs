//! The structure of the analytics table.
//!
//! | item | `pk` | `sk` | attributes |
//! |---|---|---|---|
//! | a day's counts | `DAYS#2024-05` | `2024-05-01` | a number per kind of event and age band |
//! | what became of appointments, by hour | `APPOINTMENT-HOURS#2024-05` | `2024-05-01#09` | a number per counter |
//! | … and by service and those who provide it together | `APPOINTMENT-TEAMS#2024-05` | `2024-05-01#<service id>#<provider id>+…` | a number per counter |
//! | what an appointment was last counted as | `APPOINTMENT#<appointment id>` | `COUNTED` | the state, day, hour, service, providers and length; the versions that were counted; `expiresAt`, once nothing can follow |
//! | what was invoiced and paid on a day | `BILLING-DAYS#2024-05` | `2024-05-01#EUR` | a number per counter |
//! | what has become more or less due on a day | `BILLING-OPEN#2024-05` | `2024-05-01#<until when it is to be paid>#EUR` | `due` |
//! | … and in a month | `BILLING-OPEN` | `2024-05#<until when it is to be paid>#EUR` | `due` |
//! | what was added to any of these counts since November 2026, by events of a partition of Kafka | `<pk of the counts>#SHARDS` | `<sk of the counts>#<number of the partition>` | a number per counter |
//! | an event of billing that was counted | `SEEN#<event id>` | `MARK` | see [`events::seen`] |
//! | the last version of a patient that was counted | `SEEN#<patient id>` | `MARK` | see [`events::seen`] |
//!
//! Counts are what an item and its shards add up to. Batches of different partitions are counted at the
//! same time, and write different shards, so that none has to wait for another one.
//!
//! Days are in the clinic's time zone; the day of an appointment is that of its location. The days of
//! a month are read with one query.

use std::{collections::HashMap, iter::Sum, num::ParseIntError, ops::AddAssign};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::age_band::AgeBand;
use store::{MissingSetting, Table};

/// The table of the counts.
#[derive(Debug)]
pub struct AnalyticsTable(pub Table);

impl AnalyticsTable {
    /// The table named by `ANALYTICS_TABLE`. Nothing is read yet.
    ///
    /// # Errors
    /// If the setting is missing.
    pub fn from_env() -> Result<Self, MissingSetting> {
        Ok(Self(Table::from_env("ANALYTICS_TABLE")?))
    }
}

store::from_environment!(AnalyticsTable);

/// An item as the SDK returns it.
pub type Item = HashMap<String, AttributeValue>;

/// The partition with all days of this day's month.
pub(crate) fn month_partition(day: NaiveDate) -> String {
    day.format("DAYS#%Y-%m").to_string()
}

/// The attribute that counts registrations in this band.
pub(crate) const fn band_attribute(band: AgeBand) -> &'static str {
    match band {
        AgeBand::From0To17 => "createdAge0To17",
        AgeBand::From18To29 => "createdAge18To29",
        AgeBand::From30To44 => "createdAge30To44",
        AgeBand::From45To59 => "createdAge45To59",
        AgeBand::From60To74 => "createdAge60To74",
        AgeBand::From75 => "createdAge75",
    }
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientCounts)]
pub struct Counts {
    /// Patients who were registered.
    pub created: u64,
    /// Changes to the data of patients.
    pub updated: u64,
    /// Patients who were deleted.
    pub deleted: u64,
    /// Deleted patients who were restored.
    pub restored: u64,
    /// Deleted patients who were erased.
    pub erased: u64,
    /// Records that were merged into another one.
    pub merged: u64,
    /// Records that are in use again because a merge was undone.
    pub unmerged: u64,
    /// The registered patients by their age in years at registration.
    pub age_bands: AgeBandCounts,
}

/// How many patients of each age, in years, were registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PatientCountsByAge)]
pub struct AgeBandCounts {
    /// Under 18.
    #[serde(rename = "0-17")]
    pub from_0_to_17: u64,
    /// 18 to 29.
    #[serde(rename = "18-29")]
    pub from_18_to_29: u64,
    /// 30 to 44.
    #[serde(rename = "30-44")]
    pub from_30_to_44: u64,
    /// 45 to 59.
    #[serde(rename = "45-59")]
    pub from_45_to_59: u64,
    /// 60 to 74.
    #[serde(rename = "60-74")]
    pub from_60_to_74: u64,
    /// 75 or more.
    #[serde(rename = "75+")]
    pub from_75: u64,
}

/// A day's item is not in the form that [`count`](crate::count_patient_events::count) writes.
#[derive(Debug, thiserror::Error)]
pub enum MalformedDay {
    /// The sort key is not a date.
    #[error("the sort key of a day is not a date")]
    Date,
    /// A counter is not a whole number.
    #[error("the counter {0} is not a whole number")]
    Counter(&'static str, #[source] Option<ParseIntError>),
}

/// Reads a day's item, or a shard of it, with this sort key. Counters that are missing are 0.
///
/// # Errors
/// If it is not the item of a day.
pub fn read_day(sort: &str, item: &Item) -> Result<(NaiveDate, Counts), MalformedDay> {
    let day = sort.parse().map_err(|_| MalformedDay::Date)?;
    let counter = |name| match item.get(name) {
        None => Ok(0),
        Some(AttributeValue::N(number)) => number
            .parse()
            .map_err(|error| MalformedDay::Counter(name, Some(error))),
        Some(_) => Err(MalformedDay::Counter(name, None)),
    };
    let band = |band| counter(band_attribute(band));
    let counts = Counts {
        created: counter("created")?,
        updated: counter("updated")?,
        deleted: counter("deleted")?,
        restored: counter("restored")?,
        erased: counter("erased")?,
        merged: counter("merged")?,
        unmerged: counter("unmerged")?,
        age_bands: AgeBandCounts {
            from_0_to_17: band(AgeBand::From0To17)?,
            from_18_to_29: band(AgeBand::From18To29)?,
            from_30_to_44: band(AgeBand::From30To44)?,
            from_45_to_59: band(AgeBand::From45To59)?,
            from_60_to_74: band(AgeBand::From60To74)?,
            from_75: band(AgeBand::From75)?,
        },
    };
    Ok((day, counts))
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.restored += other.restored;
        self.erased += other.erased;
        self.merged += other.merged;
        self.unmerged += other.unmerged;
        self.age_bands += other.age_bands;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut total, counts| {
            total += counts;
            total
        })
    }
}

impl AddAssign for AgeBandCounts {
    fn add_assign(&mut self, other: Self) {
        self.from_0_to_17 += other.from_0_to_17;
        self.from_18_to_29 += other.from_18_to_29;
        self.from_30_to_44 += other.from_30_to_44;
        self.from_45_to_59 += other.from_45_to_59;
        self.from_60_to_74 += other.from_60_to_74;
        self.from_75 += other.from_75;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(attributes: &[(&str, AttributeValue)]) -> Item {
        attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn a_missing_counter_is_zero() {
        let item = item(&[("updated", AttributeValue::N("7".to_owned()))]);
        let (day, counts) = read_day("2024-02-29", &item).unwrap();
        assert_eq!(day.to_string(), "2024-02-29");
        let expected = Counts {
            updated: 7,
            ..Counts::default()
        };
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_malformed_item_is_an_error() {
        let text = item(&[("created", AttributeValue::S("7".to_owned()))]);
        let negative = item(&[("deleted", AttributeValue::N("-1".to_owned()))]);
        for (day, broken) in [
            ("", item(&[])),
            ("yesterday", item(&[])),
            ("2024-02-29", text),
            ("2024-02-29", negative),
        ] {
            assert!(read_day(day, &broken).is_err(), "{day} {broken:?}");
        }
    }
}

//! Days in requests.

use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, de::Error as _};

/// A day of the clinic's calendar, `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day(pub(crate) NaiveDate);

impl Day {
    /// As the service reads it; nothing for no day.
    pub(crate) fn text_of(day: Option<Self>) -> String {
        day.map(|Self(day)| day.to_string()).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        api::day(&text).map(Self).map_err(D::Error::custom)
    }
}

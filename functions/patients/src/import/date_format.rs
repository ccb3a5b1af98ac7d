//! How a file writes dates.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a file writes dates. `01/02/1983` is two different days in two countries, so that the client
/// has to say it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    strum::EnumString,
    strum::IntoStaticStr,
)]
pub(crate) enum DateFormat {
    /// `1983-11-14`.
    #[default]
    #[serde(rename = "YYYY-MM-DD")]
    #[strum(serialize = "YYYY-MM-DD")]
    YearFirst,
    /// `14.11.1983`, or `14.1.1983`.
    #[serde(rename = "DD.MM.YYYY")]
    #[strum(serialize = "DD.MM.YYYY")]
    DayFirstWithDots,
    /// `14/11/1983`.
    #[serde(rename = "DD/MM/YYYY")]
    #[strum(serialize = "DD/MM/YYYY")]
    DayFirst,
    /// `11/14/1983`.
    #[serde(rename = "MM/DD/YYYY")]
    #[strum(serialize = "MM/DD/YYYY")]
    MonthFirst,
    /// `14-11-1983`.
    #[serde(rename = "DD-MM-YYYY")]
    #[strum(serialize = "DD-MM-YYYY")]
    DayFirstWithHyphens,
}

impl DateFormat {
    /// The name in the database and the API.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The date as the rest of the system writes it. What is no such date stays as it is, and is
    /// refused by whoever reads it.
    pub(crate) fn in_our_form(self, text: &str) -> String {
        match self.read(text) {
            Some(day) => day.format("%Y-%m-%d").to_string(),
            // A date in another form than the file is said to have is none.
            None if self == Self::YearFirst => text.to_owned(),
            None => format!("not {}", self.name()),
        }
    }

    fn read(self, text: &str) -> Option<NaiveDate> {
        let separator = match self {
            Self::YearFirst | Self::DayFirstWithHyphens => '-',
            Self::DayFirstWithDots => '.',
            Self::DayFirst | Self::MonthFirst => '/',
        };
        let mut parts = text.split(separator);
        let parts = [
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next().unwrap_or(""),
        ];
        let [first, second, third, ""] = parts else {
            return None;
        };
        let (year, month, day) = match self {
            Self::YearFirst => (first, second, third),
            Self::MonthFirst => (third, first, second),
            _ => (third, second, first),
        };
        // Two digits would leave the century open.
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if year.len() != 4 || !digits(year, 4) || !digits(month, 2) || !digits(day, 2) {
            return None;
        }
        NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_the_country_writes_it() {
        for (format, text) in [
            (DateFormat::YearFirst, "1983-02-01"),
            (DateFormat::DayFirstWithDots, "1.2.1983"),
            (DateFormat::DayFirst, "01/02/1983"),
            (DateFormat::MonthFirst, "02/01/1983"),
            (DateFormat::DayFirstWithHyphens, "01-02-1983"),
        ] {
            assert_eq!(format.in_our_form(text), "1983-02-01", "{text}");
            assert_eq!(format.name().parse(), Ok(format));
        }
    }

    #[test]
    fn what_is_no_date_in_this_form_does_not_become_one() {
        for (format, text) in [
            (DateFormat::DayFirst, "1983-02-01"),
            (DateFormat::MonthFirst, "14/02/1983"),
            (DateFormat::DayFirst, "01/02/83"),
            (DateFormat::DayFirst, "31/02/1983"),
            (DateFormat::DayFirst, "01/02/1983/1"),
            (DateFormat::YearFirst, "1983-13-01"),
            (DateFormat::DayFirst, "+1/02/1983"),
        ] {
            assert!(api::day(&format.in_our_form(text)).is_err(), "{text}");
        }
    }
}

//! Dates and times as patients read them.

use chrono::{Datelike as _, NaiveDate, NaiveDateTime};

use crate::language::Language;

const ENGLISH_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const ENGLISH_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const GERMAN_DAYS: [&str; 7] = [
    "Montag",
    "Dienstag",
    "Mittwoch",
    "Donnerstag",
    "Freitag",
    "Samstag",
    "Sonntag",
];
const GERMAN_MONTHS: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

/// The date, such as "Monday 30 March 2026"; in languages other than English and German, it is
/// `2026-03-30`, which nobody reads wrongly.
pub(crate) fn date(local: NaiveDateTime, language: &Language) -> String {
    let weekday = local.weekday().num_days_from_monday() as usize;
    let day = day(local.date(), language);
    match language.code() {
        "en" => format!("{} {day}", ENGLISH_DAYS[weekday]),
        "de" => format!("{}, {day}", GERMAN_DAYS[weekday]),
        _ => day,
    }
}

/// The date without the day of the week, such as "30 March 2026".
pub(crate) fn day(date: NaiveDate, language: &Language) -> String {
    let (year, day, month) = (date.year(), date.day(), date.month0() as usize);
    match language.code() {
        "en" => format!("{day} {} {year}", ENGLISH_MONTHS[month]),
        "de" => format!("{day}. {} {year}", GERMAN_MONTHS[month]),
        _ => date.format("%Y-%m-%d").to_string(),
    }
}

/// The time of day, such as 09:00.
pub(crate) fn time(local: NaiveDateTime) -> String {
    local.format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_in_its_language() {
        let local = NaiveDateTime::parse_from_str("2026-03-30 09:00", "%Y-%m-%d %H:%M").unwrap();
        for (language, expected, without_weekday) in [
            ("en", "Monday 30 March 2026", "30 March 2026"),
            ("de", "Montag, 30. März 2026", "30. März 2026"),
            ("fr", "2026-03-30", "2026-03-30"),
        ] {
            let language = language.parse().unwrap();
            assert_eq!(date(local, &language), expected);
            assert_eq!(day(local.date(), &language), without_weekday);
        }
        assert_eq!(time(local), "09:00");
    }
}

//! Reading a query as people type it: words of names in any order, a number, a birth date, a
//! mailbox.

use chrono::{Datelike as _, NaiveDate, Utc};
use fields::PhoneNumber;

use super::{
    fold, phonetic,
    terms::{BORN, EMAIL, SOUND, phone_term},
};

/// The most characters of a query.
pub(crate) const LONGEST: usize = 200;

/// The most parts of a query that are looked for.
const MOST_PARTS: usize = 8;

/// Where terms are looked for: from one to another, both included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Range {
    pub(crate) fn exactly(term: impl Into<String>) -> Self {
        let term = term.into();
        Self {
            from: term.clone(),
            to: term,
        }
    }

    /// Every term that begins with this.
    pub(crate) fn starting(prefix: &str) -> Self {
        Self {
            from: prefix.to_owned(),
            to: format!("{prefix}\u{10ffff}"),
        }
    }
}

/// A part of a query: all parts have to fit a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A word of a name, in all its forms.
    Name(Vec<String>),
    /// Something that fits or does not: a date, a number, a mailbox.
    Exact(Vec<Range>),
}

/// What a query asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// The query without white space around it, if it may be a record number or an identifier.
    pub(crate) identifier: Option<String>,
    /// All of these.
    pub(crate) parts: Vec<Part>,
}

impl Query {
    /// Reads what somebody has typed. Nothing that can be looked for is a query without parts.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let mut query = Self {
            identifier: (!text.is_empty()).then(|| text.to_owned()),
            parts: Vec::new(),
        };
        let dates = dates(text);
        if dates.is_empty()
            && let Some(number) = number(text)
        {
            query.parts.push(number);
            return query;
        }
        for word in text.split_whitespace() {
            query.parts.extend(part(word));
        }
        query.parts.dedup();
        query.parts.truncate(MOST_PARTS);
        query
    }
}

fn part(word: &str) -> Vec<Part> {
    if word.contains('@') {
        return vec![email(word)];
    }
    let dates = dates(word);
    if !dates.is_empty() {
        return vec![Part::Exact(dates)];
    }
    if let Some(number) = number(word) {
        return vec![number];
    }
    let words = fold::words(word).into_iter();
    words
        .map(|word| Part::Name(word.forms().to_vec()))
        .collect()
}

/// A mailbox, entirely.
pub(crate) fn email(address: &str) -> Part {
    let known = fields::EmailAddress::parse_known(address.trim());
    let address = known.map_or_else(
        |_| address.trim().to_owned(),
        |known| known.as_written().to_owned(),
    );
    Part::Exact(vec![Range::exactly(format!(
        "{EMAIL}{}",
        address.to_lowercase()
    ))])
}

/// A telephone number in any form, or its last digits: at least five of them.
fn number(text: &str) -> Option<Part> {
    let is_of_number =
        |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '.' | '(' | ')' | '/');
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if digits < 5 || !text.chars().all(is_of_number) {
        return None;
    }
    phone(text)
}

/// A telephone number in any form, or its last digits.
pub(crate) fn phone(text: &str) -> Option<Part> {
    let mut ranges = Vec::new();
    let text = text.trim();
    if let Ok(number) = PhoneNumber::parse(text) {
        let whole = phone_term(number.as_str())?;
        // Numbers that were written down without the country's code begin like this one.
        let country: Vec<Range> = (1..=3)
            .filter_map(|digits| number.as_str().get(1 + digits..))
            .filter_map(phone_term)
            .map(Range::exactly)
            .collect();
        ranges.push(Range::starting(&whole));
        ranges.extend(country);
    } else {
        ranges.push(Range::starting(&phone_term(text)?));
    }
    Some(Part::Exact(ranges))
}

/// The dates that a text may be: a day in one of the forms that people write, a month, or a year.
/// Where nobody can tell the day from the month, it may be both.
pub(crate) fn dates(text: &str) -> Vec<Range> {
    let text = text.trim();
    let parts: Vec<&str> = text.split(['-', '.', '/', ' ']).collect();
    if !parts
        .iter()
        .all(|part| !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()))
    {
        return Vec::new();
    }
    let number = |part: &str| part.parse::<u32>().unwrap_or_default();
    let year = |part: &str| {
        let year = i32::try_from(number(part)).unwrap_or_default();
        (part.len() == 4 && (1900..=Utc::now().year() + 1).contains(&year)).then_some(year)
    };
    let day = |year: i32, month: u32, day: u32| NaiveDate::from_ymd_opt(year, month, day);
    let found: Vec<NaiveDate> = match parts[..] {
        [only] => {
            let Some(year) = year(only) else {
                return Vec::new();
            };
            return vec![
                Range::starting(&format!("{BORN}{year}")),
                Range::exactly(only),
            ];
        }
        [one, other] => {
            let month = year(one).map(|year| (year, number(other)));
            let month = month.or_else(|| year(other).map(|year| (year, number(one))));
            let Some((year, month)) = month.filter(|(_, month)| (1..=12).contains(month)) else {
                return Vec::new();
            };
            return vec![Range::starting(&format!("{BORN}{year}-{month:02}"))];
        }
        [one, two, three] => {
            if let Some(year) = year(one) {
                day(year, number(two), number(three)).into_iter().collect()
            } else if let Some(year) = year(three) {
                let (one, two) = (number(one), number(two));
                let both = [day(year, two, one), day(year, one, two)];
                both.into_iter().flatten().collect()
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    };
    let mut ranges: Vec<Range> = found
        .into_iter()
        .map(|date| Range::exactly(format!("{BORN}{date}")))
        .collect();
    ranges.dedup();
    ranges
}

/// How a word of a name sounds; empty if nobody can tell.
pub(crate) fn sounds(forms: &[String]) -> Vec<String> {
    let mut codes: Vec<String> = forms
        .iter()
        .flat_map(|form| phonetic::codes(form))
        .map(|code| format!("{SOUND}{code}"))
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<Part> {
        Query::parse(text).parts
    }

    fn name(word: &str) -> Part {
        Part::Name(vec![word.to_owned()])
    }

    fn born(date: &str) -> Range {
        Range::exactly(format!("@{date}"))
    }

    #[test]
    fn words_are_read_in_any_order_and_form() {
        assert_eq!(
            parts(" berg  VAN-der "),
            [name("berg"), name("van"), name("der")]
        );
        assert_eq!(parts("Gómez"), parts("gomez"));
        assert!(parts(" – ").is_empty());
    }

    #[test]
    fn a_birth_date_is_read_as_people_type_it() {
        for text in [
            "1983-11-14",
            "14.11.1983",
            "14/11/1983",
            "11/14/1983",
            "14-11-1983",
            "1983/11/14",
        ] {
            assert_eq!(
                parts(text),
                [Part::Exact(vec![born("1983-11-14")])],
                "{text}"
            );
        }
        let both = vec![born("1983-04-03"), born("1983-03-04")];
        assert_eq!(parts("3.4.1983"), [Part::Exact(both)]);
        assert_eq!(dates("1983-11"), [Range::starting("@1983-11")]);
        assert!(dates("31.02.1983").is_empty());
        assert!(dates("Smith").is_empty());
        assert_eq!(parts("smith 14.11.1983").len(), 2);
    }

    #[test]
    fn a_number_is_read_with_everything_that_groups_it() {
        for text in [
            "+44 20 7946 0958",
            "(020) 7946-0958",
            "020/79460958",
            "0044 20 7946 0958",
        ] {
            assert_eq!(parts(text).len(), 1, "{text}");
            assert!(matches!(parts(text)[0], Part::Exact(_)), "{text}");
        }
        assert_eq!(parts("feil 79460958").len(), 2);
    }
}

//! What callers write, read into types. Each error says what is wrong with a field, for whoever
//! filled it in.

use std::{fmt::Display, ops::RangeInclusive};

use api::InvalidDay;
use chrono::NaiveDate;
use contracts::billing::v1 as wire;
use fields::{InvalidText, Line};
use money::{Currency, InvalidMoney, Money};
use tonic::Status;
use uuid::Uuid;

use crate::service::refused::{Faults, invalid, stale};

/// How many characters a reason has.
const REASON: RangeInclusive<usize> = 1..=200;

/// How many characters a payment's reference has.
const REFERENCE: RangeInclusive<usize> = 1..=100;

/// How many characters a code has.
const CODE: RangeInclusive<usize> = 1..=32;

/// How many entries a page has if nobody says how many, and at most.
const PAGE: (i64, i64) = (20, 100);

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be a UUID")]
pub(crate) struct InvalidId;

/// A text is not what its field takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} {1}")]
pub(crate) struct InvalidLine(&'static str, InvalidText);

/// The text is not a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The code must have 1 to 32 letters, digits, dots, hyphens and underscores")]
pub(crate) struct InvalidCode;

/// What is wrong with an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAmount {
    #[error("Is required")]
    Missing,
    #[error(transparent)]
    Money(#[from] InvalidMoney),
    #[error("Must be more than 0")]
    NotPositive,
    #[error("Cannot be less than 0")]
    Negative,
}

/// An id.
pub(crate) fn id(text: &str) -> Result<Uuid, InvalidId> {
    text.parse().map_err(|_| InvalidId)
}

/// An id that is all that a request has to get right.
pub(crate) fn id_of(field: &str, text: &str) -> Result<Uuid, Status> {
    id(text).map_err(|fault| invalid(field, fault))
}

/// An id, unless there is none.
pub(crate) fn optional_id(text: &str) -> Result<Option<Uuid>, InvalidId> {
    if_any(text, id)
}

/// Ids, each once, at most so many.
pub(crate) fn ids(field: &str, texts: &[String], most: usize, faults: &mut Faults) -> Vec<Uuid> {
    if texts.len() > most {
        faults.note(field, format_args!("Cannot be more than {most}"));
        return Vec::new();
    }
    let mut ids = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        let Some(read) = faults.take(&format!("{field}[{place}]"), id(text)) else {
            continue;
        };
        if ids.contains(&read) {
            faults.note(&format!("{field}[{place}]"), "Cannot be there twice");
        }
        ids.push(read);
    }
    ids
}

/// A code under which something is billed.
pub(crate) fn code(text: &str) -> Result<String, InvalidCode> {
    let is_fine = CODE.contains(&text.chars().count())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || ".-_".contains(letter));
    is_fine.then(|| text.to_owned()).ok_or(InvalidCode)
}

/// A text of one line, of which `what` continues an error.
pub(crate) fn line(
    what: &'static str,
    text: &str,
    characters: &RangeInclusive<usize>,
) -> Result<String, InvalidLine> {
    let line = Line::parse(text, characters).map_err(|error| InvalidLine(what, error))?;
    Ok(line.as_str().to_owned())
}

/// Why somebody does something.
pub(crate) fn reason(text: &str) -> Result<String, InvalidLine> {
    line("The reason", text, &REASON)
}

/// The number of a transfer or a slip, unless there is none.
pub(crate) fn reference(text: &str) -> Result<Option<String>, InvalidLine> {
    if_any(text, |text| line("The reference", text, &REFERENCE))
}

/// A day.
pub(crate) fn day(text: &str) -> Result<NaiveDate, InvalidDay> {
    api::day(text)
}

/// A day, unless there is none.
pub(crate) fn optional_day(text: &str) -> Result<Option<NaiveDate>, InvalidDay> {
    if_any(text, day)
}

/// An amount, unless there is none.
pub(crate) fn optional_amount(
    amount: Option<&wire::Money>,
) -> Result<Option<Money>, InvalidAmount> {
    let amount = amount.map(Money::try_from).transpose()?;
    Ok(amount)
}

/// An amount of more than 0.
pub(crate) fn positive(amount: Option<&wire::Money>) -> Result<Money, InvalidAmount> {
    let amount = optional_amount(amount)?.ok_or(InvalidAmount::Missing)?;
    if amount.minor_units() <= 0 {
        return Err(InvalidAmount::NotPositive);
    }
    Ok(amount)
}

/// An amount of more than 0, unless there is none.
pub(crate) fn optional_positive(
    amount: Option<&wire::Money>,
) -> Result<Option<Money>, InvalidAmount> {
    amount.map(|amount| positive(Some(amount))).transpose()
}

/// An amount of 0 or more.
pub(crate) fn not_negative(amount: Option<&wire::Money>) -> Result<Money, InvalidAmount> {
    let amount = optional_amount(amount)?.ok_or(InvalidAmount::Missing)?;
    if amount.minor_units() < 0 {
        return Err(InvalidAmount::Negative);
    }
    Ok(amount)
}

/// What a text says, unless it is empty.
pub(crate) fn if_any<T, E>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, E> {
    (!text.is_empty()).then(|| read(text)).transpose()
}

/// How many entries a page is to have.
pub(crate) fn page_size(asked: i32) -> Result<i64, Status> {
    page_size_of(asked, PAGE)
}

/// The same with another usual and another largest size.
pub(crate) fn page_size_of(asked: i32, (usual, largest): (i64, i64)) -> Result<i64, Status> {
    match asked {
        ..0 => Err(invalid("limit", "Cannot be less than 0")),
        0 => Ok(usual),
        asked => Ok(i64::from(asked).min(largest)),
    }
}

/// Where a page goes on: behind this entry. None on the first page.
pub(crate) fn page_token<T: std::str::FromStr>(token: &str) -> Result<Option<T>, Status> {
    if_any(token, |token| {
        let place = token.parse();
        place.map_err(|_| invalid("cursor", "Must be one that an earlier page has given"))
    })
}

/// The entries of a page, and the token of the next one. `entries` has one more than the page, if
/// there is more.
pub(crate) fn page<T, P: Display>(
    mut entries: Vec<T>,
    size: i64,
    place: impl FnOnce(&T) -> P,
) -> (Vec<T>, String) {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if entries.len() <= size {
        return (entries, String::new());
    }
    entries.truncate(size);
    let token = entries.last().map(|last| place(last).to_string());
    (entries, token.unwrap_or_default())
}

/// Compares the etag that the caller has read with the present version. Whoever would change one of several
/// versions separates them by commas.
///
/// # Errors
/// `ABORTED`, if there is one and it is another.
pub(crate) fn check_etag(etag: &str, version: i64) -> Result<(), Status> {
    let present = self::etag(version);
    if etag.is_empty() || etag.split(',').any(|etag| etag == present) {
        return Ok(());
    }
    Err(stale())
}

/// The etag of a version.
pub(crate) fn etag(version: i64) -> String {
    version.to_string()
}

/// The currency of a row. The database has none that we do not know.
pub(crate) fn stored_currency(code: &str) -> Result<Currency, Status> {
    code.parse().map_err(|error| {
        tracing::error!(cause = %error, code, "a currency in the database is not known");
        Status::internal("the billing service failed; its log says why")
    })
}

/// An amount of a row.
pub(crate) fn stored_amount(code: &str, minor_units: i64) -> Result<Money, Status> {
    Ok(Money::sum(stored_currency(code)?, minor_units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_what_an_invoice_can_carry() {
        for text in ["A", "CONSULT-30", "x.y_z", &"a".repeat(32)] {
            assert_eq!(code(text).as_deref(), Ok(text));
        }
        for text in ["", " A", "A B", "Ä", "a\n", &"a".repeat(33)] {
            assert_eq!(code(text), Err(InvalidCode), "{text:?}");
        }
    }

    #[test]
    fn an_amount_is_there_and_in_its_bounds() {
        let eur = |minor_units| wire::Money {
            currency_code: "EUR".to_owned(),
            minor_units,
        };
        assert!(positive(Some(&eur(1))).is_ok());
        assert_eq!(positive(Some(&eur(0))), Err(InvalidAmount::NotPositive));
        assert_eq!(positive(None), Err(InvalidAmount::Missing));
        assert!(not_negative(Some(&eur(0))).is_ok());
        assert_eq!(not_negative(Some(&eur(-1))), Err(InvalidAmount::Negative));
        assert!(positive(Some(&eur(money::MAX_MINOR_UNITS))).is_ok());
        assert!(positive(Some(&eur(money::MAX_MINOR_UNITS + 1))).is_err());
        assert_eq!(optional_positive(None), Ok(None));
    }

    #[test]
    fn a_page_ends_where_the_next_begins() {
        assert_eq!(
            page(vec![1, 2, 3], 2, |last| *last),
            (vec![1, 2], "2".to_owned())
        );
        assert_eq!(
            page(vec![1, 2], 2, |last| *last),
            (vec![1, 2], String::new())
        );
        assert_eq!(page_size(0).unwrap(), 20);
        assert_eq!(page_size(1000).unwrap(), 100);
        assert!(page_size(-1).is_err());
        assert_eq!(page_token::<i64>("7").unwrap(), Some(7));
        assert!(page_token::<i64>("x").is_err());
    }

    #[test]
    fn an_etag_is_compared_if_there_is_one() {
        assert!(check_etag("", 3).is_ok());
        assert!(check_etag("3", 3).is_ok());
        assert!(check_etag("2", 3).is_err());
        assert!(check_etag("2,3,4", 3).is_ok());
        assert!(check_etag("2,4,33", 3).is_err());
    }
}

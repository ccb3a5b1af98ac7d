//! What people write into billing: normalised, and bounded before it is sent to the service.

use std::ops::RangeInclusive;

use fields::{InvalidText, Line, Lines};

const CODE: RangeInclusive<usize> = 1..=32;
const DESCRIPTION: RangeInclusive<usize> = 1..=200;
const REASON: RangeInclusive<usize> = 1..=200;
const NOTE: RangeInclusive<usize> = 1..=500;
const REFERENCE: RangeInclusive<usize> = 1..=100;

/// What is wrong with a text, in terms that clients know: "The reason is required".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidField {
    #[error("{0} {1}")]
    Text(&'static str, InvalidText),
    #[error("The code must have 1 to 32 letters, digits, dots, hyphens and underscores")]
    Code,
}

/// What something is billed as: a service's code in the schedule.
pub(crate) fn code(text: &str) -> Result<String, InvalidField> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = CODE.contains(&text.len()) && text.chars().all(allowed);
    fits.then(|| text.to_owned()).ok_or(InvalidField::Code)
}

/// What an invoice says that something is.
pub(crate) fn description(text: &str) -> Result<String, InvalidField> {
    line("The description", text, &DESCRIPTION)
}

/// Why somebody does something.
pub(crate) fn reason(text: &str) -> Result<String, InvalidField> {
    line("The reason", text, &REASON)
}

/// The number of a transfer or of a card's slip.
pub(crate) fn reference(text: &str) -> Result<String, InvalidField> {
    line("The reference", text, &REFERENCE)
}

/// What somebody remarks.
pub(crate) fn note(text: &str) -> Result<String, InvalidField> {
    Lines::parse(text, &NOTE)
        .map(|note| note.as_str().to_owned())
        .map_err(|error| InvalidField::Text("The note", error))
}

/// A text that may be missing: then it is empty.
pub(crate) fn if_any(
    text: Option<&str>,
    read: impl FnOnce(&str) -> Result<String, InvalidField>,
) -> Result<String, InvalidField> {
    text.map_or_else(|| Ok(String::new()), read)
}

fn line(
    what: &'static str,
    text: &str,
    characters: &RangeInclusive<usize>,
) -> Result<String, InvalidField> {
    Line::parse(text, characters)
        .map(|line| line.as_str().to_owned())
        .map_err(|error| InvalidField::Text(what, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded() {
        assert_eq!(code("CONSULT-30").as_deref(), Ok("CONSULT-30"));
        for wrong in ["", "ÄRZTE", "a b", &"x".repeat(33)] {
            assert_eq!(code(wrong), Err(InvalidField::Code), "{wrong}");
        }
        assert_eq!(reason("  It bounced ").as_deref(), Ok("It bounced"));
        let missing = reason(" ").unwrap_err();
        assert_eq!(missing.to_string(), "The reason is required");
        assert!(reason(&"x".repeat(201)).is_err());
        assert_eq!(if_any(None, reference).as_deref(), Ok(""));
        assert!(if_any(Some(&"7".repeat(101)), reference).is_err());
        assert!(note(&"x".repeat(501)).is_err());
    }
}

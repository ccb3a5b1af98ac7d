//! Telephone numbers.

use std::fmt;

use rlibphonenumber::{NumberLengthType, PhoneNumberFormat};

/// The longest text that is read as a number: 15 digits (E.164), however they are grouped.
const MAX_CHARACTERS: usize = 40;

/// A telephone number in the form of E.164: a plus, the country's code, and the number without
/// anything in between.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

/// What is wrong with a number, for the person who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhoneNumber {
    /// There is no country's code, so that nobody knows where it is.
    #[error("Phone must begin with + and the country's code, such as +442079460958")]
    National,
    /// No number of that country looks like this.
    #[error("Phone is not a number of its country: it has too few or too many digits")]
    Impossible,
}

impl PhoneNumber {
    /// Reads a number in its international form, with or without spaces, hyphens, dots and
    /// brackets.
    ///
    /// A number has to be possible, and need not be in use: countries hand out new ranges faster
    /// than anybody's copy of their plans learns of them.
    ///
    /// # Errors
    /// If it does not begin with a country's code, has an extension, or cannot be a number of its
    /// country.
    pub fn parse(text: &str) -> Result<Self, InvalidPhoneNumber> {
        let text = text.trim();
        let is_grouping = |character: char| matches!(character, ' ' | '-' | '.' | '(' | ')' | '/');
        let digits = text
            .strip_prefix('+')
            .filter(|_| text.len() <= MAX_CHARACTERS)
            .ok_or(InvalidPhoneNumber::National)?;
        if !digits
            .chars()
            .all(|character| character.is_ascii_digit() || is_grouping(character))
        {
            return Err(InvalidPhoneNumber::Impossible);
        }
        let number = rlibphonenumber::PhoneNumber::parse(text, None)
            .ok()
            // Within the country's code alone, others cannot call it.
            .filter(|number| {
                let length = number.is_possible_with_reason();
                matches!(length, Ok(NumberLengthType::IsPossible))
            })
            .ok_or(InvalidPhoneNumber::Impossible)?;
        Ok(Self(number.format_as(PhoneNumberFormat::E164).into_owned()))
    }

    /// The number, such as `+442079460958`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps patients' numbers out of logs.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, InvalidPhoneNumber> {
        PhoneNumber::parse(text).map(|number| number.0)
    }

    #[test]
    fn a_number_is_stored_in_one_form_however_it_is_grouped() {
        for (typed, stored) in [
            ("+442079460958", "+442079460958"),
            (" +44 (20) 7946-0958 ", "+442079460958"),
            ("+49 30/901820", "+4930901820"),
            ("+1 617.555.0123", "+16175550123"),
            // Zeros that belong to the number.
            ("+39 06 6982 0312", "+390669820312"),
        ] {
            assert_eq!(parse(typed).as_deref(), Ok(stored), "{typed}");
            assert_eq!(parse(stored).as_deref(), Ok(stored), "{stored}");
        }
    }

    #[test]
    fn a_number_without_its_country_is_rejected() {
        for text in ["", "020 7946 0958", "00442079460958", "tel:+442079460958"] {
            assert_eq!(parse(text), Err(InvalidPhoneNumber::National), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_number_is_rejected() {
        for text in [
            "+",
            "+44",
            "+44 20",
            "+44207946095812345",
            "+999 1234567",
            "+44 2079460958 ext. 5",
            "+44 20 7946 ABCD",
            "+44\u{0662}0079460958",
            "+1 617 555 012",
        ] {
            assert_eq!(parse(text), Err(InvalidPhoneNumber::Impossible), "{text}");
        }
    }

    #[test]
    fn no_number_gets_into_a_log() {
        let number = PhoneNumber::parse("+442079460958").unwrap();
        assert!(!format!("{number:?}").contains("44"));
    }
}

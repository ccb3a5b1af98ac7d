//! The e-mail address that a user logs in with.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;

/// The longest address (RFC 5321), in characters.
const MAX_CHARACTERS: usize = 254;

/// An e-mail address in the one form that is stored and looked up: lower case, Unicode
/// composed (NFC). However somebody types their address, it is the same account.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

/// What is wrong with an address, for whoever typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailAddress {
    /// It is missing or blank.
    #[error("Email is required")]
    Missing,
    /// It is too long.
    #[error("Email cannot exceed {MAX_CHARACTERS} characters")]
    TooLong,
    /// It is none.
    #[error("Email should be valid")]
    Malformed,
}

impl EmailAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// If it is missing, too long or no plain `somebody@some.where`.
    pub fn parse(text: &str) -> Result<Self, InvalidEmailAddress> {
        let address: String = text.trim().nfc().collect::<String>().to_lowercase();
        if address.is_empty() {
            return Err(InvalidEmailAddress::Missing);
        }
        if address.chars().count() > MAX_CHARACTERS {
            return Err(InvalidEmailAddress::TooLong);
        }
        let plain = email_address::Options::default()
            .with_required_tld()
            .without_display_text()
            .without_domain_literal();
        if address.chars().any(char::is_control)
            || email_address::EmailAddress::parse_with_options(&address, plain).is_err()
        {
            return Err(InvalidEmailAddress::Malformed);
        }
        Ok(Self(address))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Keeps the address out of logs.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_account_has_one_form_of_its_address() {
        let typed = [
            "zoë@clinic.example",
            " ZOË@Clinic.Example\n",
            "zoe\u{308}@clinic.example",
        ];
        for address in typed {
            assert_eq!(
                EmailAddress::parse(address).unwrap().as_str(),
                "zoë@clinic.example"
            );
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let long = format!("{}@clinic.example", "x".repeat(250));
        let refusals = [
            ("", InvalidEmailAddress::Missing),
            (" \u{3000}", InvalidEmailAddress::Missing),
            (&long, InvalidEmailAddress::TooLong),
            ("zoe", InvalidEmailAddress::Malformed),
            ("zoe@localhost", InvalidEmailAddress::Malformed),
            ("zoe@clinic.example\0", InvalidEmailAddress::Malformed),
            ("zoe\0@clinic.example", InvalidEmailAddress::Malformed),
            ("a@b.example, c@d.example", InvalidEmailAddress::Malformed),
            ("Zoe <zoe@clinic.example>", InvalidEmailAddress::Malformed),
            ("zoe@[127.0.0.1]", InvalidEmailAddress::Malformed),
        ];
        for (address, refusal) in refusals {
            assert_eq!(EmailAddress::parse(address), Err(refusal), "{address:?}");
        }
    }
}

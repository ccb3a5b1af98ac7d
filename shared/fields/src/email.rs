//! E-mail addresses of patients and of users.

use std::hash::{Hash, Hasher};

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};

use crate::{InvalidText, Line};

/// The longest address (RFC 5321), in characters.
const MAX_CHARACTERS: usize = 254;

/// A deliverable address in its normalized form: the domain is in lower case, with non-ASCII
/// letters in Punycode, as DNS and the mail service know it; the part before the @ is without
/// quotes.
///
/// Addresses that differ only in case are equal, since no mail service distinguishes mailboxes by
/// case.
#[derive(Clone)]
pub struct EmailAddress {
    written: String,
    normal: String,
}

/// What is wrong with an address, for the person who typed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEmailAddress {
    /// It is missing, too long, or contains invalid characters.
    #[error("Email {0}")]
    Text(#[from] InvalidText),
    /// It is not an address.
    #[error("Email should be valid")]
    Malformed,
    /// Our mail service does not deliver to it.
    #[error(
        "Email cannot have letters beyond ASCII before the @: our mail service cannot deliver to such addresses"
    )]
    Undeliverable,
}

impl EmailAddress {
    /// Reads an address that mail will be sent to.
    ///
    /// # Errors
    /// If it is missing, too long, not a plain `somebody@some.where`, or undeliverable.
    pub fn parse(text: &str) -> Result<Self, InvalidEmailAddress> {
        let text = Line::parse(text, &(1..=MAX_CHARACTERS))?;
        let address = well_formed(text.as_str())?;
        let domain = ascii_domain(address.domain()).ok_or(InvalidEmailAddress::Malformed)?;
        let local = unquoted(address.local_part()).ok_or(InvalidEmailAddress::Malformed)?;
        if !local.is_ascii() {
            return Err(InvalidEmailAddress::Undeliverable);
        }
        let written = format!("{local}@{domain}");
        if written.len() > MAX_CHARACTERS {
            return Err(InvalidText::TooLong(MAX_CHARACTERS).into());
        }
        Ok(Self::of(written))
    }

    /// Reads an address to look it up among the stored ones. Some of them were stored under fewer
    /// rules, so every well-formed address is accepted, and normalized as far as today's rules
    /// allow.
    ///
    /// # Errors
    /// If it is missing, too long, or not `somebody@some.where`.
    pub fn parse_known(text: &str) -> Result<Self, InvalidEmailAddress> {
        let refusal = match Self::parse(text) {
            Ok(address) => return Ok(address),
            Err(refusal) => refusal,
        };
        let text = Line::parse(text, &(1..=MAX_CHARACTERS))?;
        let address = well_formed(text.as_str()).map_err(|_| refusal)?;
        let domain = ascii_domain(address.domain());
        let domain = domain.unwrap_or_else(|| address.domain().to_owned());
        Ok(Self::of(format!("{}@{domain}", address.local_part())))
    }

    fn of(written: String) -> Self {
        let normal = written.to_lowercase();
        Self { written, normal }
    }

    /// The form for comparing addresses: all in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.normal
    }

    /// The form for writing to it and for display: the part before the @ keeps its case.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.written
    }
}

/// An address according to RFC 5321, without a display name, at a named host.
fn well_formed(text: &str) -> Result<email_address::EmailAddress, InvalidEmailAddress> {
    let options = email_address::Options::default()
        .with_required_tld()
        .without_display_text()
        .without_domain_literal();
    email_address::EmailAddress::parse_with_options(text, options)
        .map_err(|_| InvalidEmailAddress::Malformed)
}

/// The domain as DNS knows it (UTS #46, non-transitional: letters, digits and hyphens). The last
/// label must be a top-level domain, which excludes IP addresses.
fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = Uts46::new().to_ascii(
        domain.as_bytes(),
        AsciiDenyList::STD3,
        Hyphens::CheckFirstLast,
        DnsLength::Verify,
    );
    let ascii = ascii.ok()?.into_owned();
    let (_, top) = ascii.rsplit_once('.')?;
    let is_name = top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_name || top.starts_with("xn--")).then_some(ascii)
}

/// The part before the @, without quotes that it does not need. If it does need them, it contains
/// characters that have a meaning in a mail header, and is rejected; so is `?`, which starts the
/// headers in a link to the address.
fn unquoted(local: &str) -> Option<String> {
    let local = match local.strip_prefix('"') {
        Some(quoted) => unescaped(quoted.strip_suffix('"')?),
        None => local.to_owned(),
    };
    let plain = email_address::EmailAddress::is_valid_local_part(&local);
    (plain && !local.contains(['"', '?'])).then_some(local)
}

fn unescaped(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.extend(match character {
            '\\' => characters.next(),
            _ => Some(character),
        });
    }
    text
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.normal == other.normal
    }
}

impl Eq for EmailAddress {}

impl Hash for EmailAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal.hash(state);
    }
}

/// Keeps the address out of logs.
impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EmailAddress(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, InvalidEmailAddress> {
        EmailAddress::parse(text).map(|address| address.written)
    }

    #[test]
    fn an_address_is_normalized() {
        for (typed, form) in [
            ("zoe@clinic.example", "zoe@clinic.example"),
            (" Zoe@Clinic.EXAMPLE\n", "Zoe@clinic.example"),
            ("zoe@clinic\u{200b}.example", "zoe@clinic.example"),
            (
                "o'brien+tag@sub.clinic.example",
                "o'brien+tag@sub.clinic.example",
            ),
            ("\"z\"@x.example", "z@x.example"),
            ("\"z.\\o\\e\"@x.example", "z.oe@x.example"),
            ("i@bücher.example", "i@xn--bcher-kva.example"),
            ("i@bu\u{308}cher.example", "i@xn--bcher-kva.example"),
            ("i@BÜCHER.example", "i@xn--bcher-kva.example"),
            ("i@XN--BCHER-KVA.example", "i@xn--bcher-kva.example"),
            ("i@ΟΔΟΣ.example", "i@xn--pxavbq.example"),
            ("i@例子.广告", "i@xn--fsqu00a.xn--4rr70v"),
            ("i@xn--fsqu00a.xn--4rr70v", "i@xn--fsqu00a.xn--4rr70v"),
            ("i@straße.example", "i@xn--strae-oqa.example"),
            ("i@ｘ.example", "i@x.example"),
        ] {
            assert_eq!(written(typed).as_deref(), Ok(form), "{typed}");
            assert_eq!(written(form).as_deref(), Ok(form), "{form}");
            let known = EmailAddress::parse_known(typed).unwrap();
            assert_eq!(known.written, form, "{typed}");
        }
    }

    #[test]
    fn case_is_ignored_but_kept_before_the_at_sign() {
        let typed = EmailAddress::parse("Zoe@Clinic.example").unwrap();
        assert_eq!(typed.as_written(), "Zoe@clinic.example");
        assert_eq!(typed.as_str(), "zoe@clinic.example");
        assert_eq!(typed, EmailAddress::parse("zOE@CLINIC.example").unwrap());
    }

    #[test]
    fn an_invalid_address_is_rejected() {
        let long = format!("zoe@{}.example", "x.".repeat(130));
        let punycode = format!("{}@{}example", "z".repeat(64), "ü.".repeat(25));
        let malformed = InvalidEmailAddress::Malformed;
        let text = InvalidEmailAddress::Text;
        for (address, refusal) in [
            ("", text(InvalidText::Missing)),
            (" \u{3000}", text(InvalidText::Missing)),
            (&long, text(InvalidText::TooLong(254))),
            (&punycode, text(InvalidText::TooLong(254))),
            ("zoe@clinic.example\0", text(InvalidText::ControlCharacters)),
            (
                "zoe@clinic.\u{202e}example",
                text(InvalidText::DirectionControls),
            ),
            ("zoe", malformed),
            ("@clinic.example", malformed),
            ("zoe@localhost", malformed),
            ("a@b@c.example", malformed),
            ("a b@c.example", malformed),
            ("a@b.example, c@d.example", malformed),
            ("Zoe <zoe@clinic.example>", malformed),
            ("a@clinic.example\nbcc: b@evil.example", malformed),
            ("a@x.example?subject=x", malformed),
            ("a?subject=x@x.example", malformed),
            ("a@x.example%0Abcc:b@evil.example", malformed),
            ("a%0d%0abcc:b@x.example", malformed),
            ("\"a b\"@x.example", malformed),
            ("\"a@b\"@x.example", malformed),
            ("\"a\\\"b\"@x.example", malformed),
            ("\".a\"@x.example", malformed),
            ("\"\"@x.example", malformed),
            ("zoe@[127.0.0.1]", malformed),
            ("zoe@[IPv6:::1]", malformed),
            ("zoe@1.2.3.4", malformed),
            ("zoe@１.２.３.４", malformed),
            ("zoe@127.0.0.0x1", malformed),
            ("zoe@2130706433.1", malformed),
            ("zoe@clinic.example.", malformed),
            ("zoe@clinic..example", malformed),
            ("zoe@-clinic.example", malformed),
            ("zoe@clinic_.example", malformed),
            ("zoe@xn--a.example", malformed),
            ("zoe@clinic.e", malformed),
        ] {
            assert_eq!(written(address), Err(refusal), "{address:?}");
        }
    }

    #[test]
    fn an_undeliverable_address_is_rejected_with_the_reason() {
        for address in [
            "用户@例子.广告",
            "zoë@clinic.example",
            "zoe\u{308}@clinic.example",
        ] {
            let refusal = EmailAddress::parse(address).unwrap_err();
            assert_eq!(refusal, InvalidEmailAddress::Undeliverable, "{address}");
            assert!(refusal.to_string().contains("deliver"));
        }
    }

    #[test]
    fn addresses_stored_under_earlier_rules_are_still_found() {
        for (typed, stored) in [
            (" ZOË@Clinic.example", "zoë@clinic.example"),
            (
                "zoe\u{308}@bu\u{308}cher.example",
                "zoë@xn--bcher-kva.example",
            ),
            ("\"A b\"@x.example", "\"a b\"@x.example"),
            ("a@1.2.3.4", "a@1.2.3.4"),
            ("A@x_y.example", "a@x_y.example"),
        ] {
            let known = EmailAddress::parse_known(typed).unwrap();
            assert_eq!(known.as_str(), stored, "{typed}");
            assert_eq!(EmailAddress::parse_known(stored).unwrap(), known);
        }
        for none in [
            "",
            "zoe",
            "zoe@localhost",
            "a@b@c.example",
            "zoe@x.example\0",
        ] {
            assert!(EmailAddress::parse_known(none).is_err(), "{none}");
        }
    }
}

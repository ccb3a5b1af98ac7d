//! What the clinic has printed on all of its documents.

use std::sync::Arc;

use documents::{Clinic, InvalidLogo, Language, Logo, Paper, UnknownLanguage};

/// What separates the lines of a setting: parameters of a template are in one line.
const LINE_END: char = '|';

/// What `CLINIC_NAME` is if nobody has set it: a part of a sentence in messages, and no name. Documents
/// say nothing in its place.
const NO_NAME: &str = "the clinic";

/// The file `letterhead/logo.png` or `letterhead/logo.jpg` of this crate, if there was one when it was
/// compiled: see `build.rs`. A setting of a function has no room for a picture.
const LOGO: Option<&[u8]> = include!(concat!(env!("OUT_DIR"), "/logo.rs"));

/// The clinic as its documents name it, and what they are written in and printed on.
#[derive(Debug, Clone)]
pub struct Letterhead(Arc<Clinic>);

/// A setting of the documents cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLetterhead {
    /// `DOCUMENT_LANGUAGE`.
    #[error("DOCUMENT_LANGUAGE: {0}")]
    Language(#[from] UnknownLanguage),
    /// `DOCUMENT_PAPER`.
    #[error("DOCUMENT_PAPER: Must be A4 or LETTER")]
    Paper,
    /// The file with the logo.
    #[error("letterhead/logo: {0}")]
    Logo(#[from] InvalidLogo),
}

impl Letterhead {
    /// Reads `CLINIC_NAME`, `CLINIC_ADDRESS`, `CLINIC_CONTACT`, `CLINIC_REGISTRATION`,
    /// `CLINIC_PAYMENT` and `INVOICE_REMARK`, with | between lines, `DOCUMENT_LANGUAGE` (en by
    /// default) and `DOCUMENT_PAPER` (A4). The logo is a part of the program.
    ///
    /// # Errors
    /// If there is no such language or paper, or the logo cannot be printed.
    pub fn from_env() -> Result<Self, InvalidLetterhead> {
        let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::from_settings(setting, LOGO)
    }

    /// The same from settings and a file that are elsewhere.
    ///
    /// # Errors
    /// As above.
    pub fn from_settings(
        setting: impl Fn(&str) -> Option<String>,
        logo: Option<&[u8]>,
    ) -> Result<Self, InvalidLetterhead> {
        let lines = |name| in_lines(&setting(name).unwrap_or_default());
        let language = setting("DOCUMENT_LANGUAGE").map(|code| code.parse::<Language>());
        let paper = match setting("DOCUMENT_PAPER").as_deref() {
            None | Some("A4") => Paper::A4,
            Some("LETTER") => Paper::Letter,
            Some(_) => return Err(InvalidLetterhead::Paper),
        };
        Ok(Self(Arc::new(Clinic {
            name: setting("CLINIC_NAME")
                .filter(|name| !name.trim().eq_ignore_ascii_case(NO_NAME))
                .unwrap_or_default(),
            address: lines("CLINIC_ADDRESS"),
            contact: lines("CLINIC_CONTACT"),
            registration: lines("CLINIC_REGISTRATION"),
            payment: lines("CLINIC_PAYMENT"),
            remark: lines("INVOICE_REMARK"),
            logo: logo.map(Logo::read).transpose()?,
            language: language.transpose()?.unwrap_or_default(),
            paper,
        })))
    }

    /// The clinic.
    pub(crate) fn clinic(&self) -> &Clinic {
        &self.0
    }
}

/// Of a clinic that has said nothing about itself.
impl Default for Letterhead {
    fn default() -> Self {
        Self(Arc::new(Clinic {
            name: String::new(),
            address: String::new(),
            contact: String::new(),
            registration: String::new(),
            payment: String::new(),
            remark: String::new(),
            logo: None,
            language: Language::default(),
            paper: Paper::default(),
        }))
    }
}

store::from_environment!(Letterhead);

fn in_lines(setting: &str) -> String {
    let lines: Vec<&str> = setting.split(LINE_END).map(str::trim).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Result<Letterhead, InvalidLetterhead> {
        Letterhead::from_settings(|asked| (asked == name).then(|| value.to_owned()), None)
    }

    #[test]
    fn a_setting_that_is_not_there_has_a_default() {
        let letterhead = Letterhead::from_settings(|_| None, None).unwrap();
        let clinic = letterhead.clinic();
        assert_eq!(clinic.name, "");
        assert_eq!(clinic.address, "");
        assert_eq!(clinic.language, Language::English);
        assert_eq!(clinic.paper, Paper::A4);
    }

    #[test]
    fn the_default_of_messages_is_no_name() {
        for unset in ["the clinic", "The clinic"] {
            assert_eq!(with("CLINIC_NAME", unset).unwrap().clinic().name, "");
        }
        let named = with("CLINIC_NAME", "The Clinic at Harbour Street").unwrap();
        assert_eq!(named.clinic().name, "The Clinic at Harbour Street");
    }

    #[test]
    fn the_logo_is_looked_at_when_the_function_starts() {
        let with = |logo| Letterhead::from_settings(|_| None, Some(logo));
        let unreadable = with(b"<svg/>".as_slice()).err();
        assert_eq!(unreadable, Some(InvalidLogo::Unreadable.into()));
        let large = with(&vec![0x89; documents::MAX_LOGO_BYTES + 1]).err();
        assert_eq!(large, Some(InvalidLogo::TooLarge.into()));
        // What is in the folder now.
        assert!(Letterhead::from_settings(|_| None, LOGO).is_ok());
    }

    #[test]
    fn a_setting_has_lines() {
        let letterhead = with("CLINIC_ADDRESS", "Hafenstraße 7 | 20459 Hamburg").unwrap();
        assert_eq!(letterhead.clinic().address, "Hafenstraße 7\n20459 Hamburg");
    }

    #[test]
    fn a_setting_that_cannot_be_used_stops_the_function() {
        let language = with("DOCUMENT_LANGUAGE", "tlh");
        assert_eq!(language.err(), Some(UnknownLanguage.into()));
        let paper = with("DOCUMENT_PAPER", "A5");
        assert_eq!(paper.err(), Some(InvalidLetterhead::Paper));
        let letter = with("DOCUMENT_PAPER", "LETTER").unwrap();
        assert_eq!(letter.clinic().paper, Paper::Letter);
        let arabic = with("DOCUMENT_LANGUAGE", "ar").unwrap();
        assert_eq!(arabic.clinic().language, Language::Arabic);
    }
}

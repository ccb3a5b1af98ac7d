//! Names, addresses, reasons: text from people for people.
//!
//! It is stored composed (NFC), without invisible characters, and with a single space for any run
//! of white space. So text that looks the same is the same.

use std::ops::RangeInclusive;

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{
        BidiControl, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup,
        VariationSelector,
    },
};
use unicode_normalization::UnicodeNormalization as _;

/// The joiners that Persian and Indic names are spelt with (UAX #31, section 2.3), and that combine
/// several emoji into one.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

/// What decoders substitute for what they cannot decode.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// The Braille blank, which is white space in all but its Unicode property.
const BRAILLE_BLANK: char = '\u{2800}';

/// What is wrong with a text. Continues the name of the field: "Name is required".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// It is missing, or nothing in it is visible.
    #[error("is required")]
    Missing,
    /// It is too short.
    #[error("must have at least {0} characters")]
    TooShort(usize),
    /// It is too long.
    #[error("cannot exceed {0} characters")]
    TooLong(usize),
    /// It contains neither a letter nor a digit.
    #[error("must have a letter or a digit")]
    SaysNothing,
    /// It contains control characters.
    #[error("cannot contain control characters")]
    ControlCharacters,
    /// It contains characters that change the direction of the text around them.
    #[error("cannot contain characters that change the direction of writing")]
    DirectionControls,
    /// A decoder could not decode part of it.
    #[error("contains a character (\u{fffd}) that was lost in transmission")]
    LostCharacters,
}

/// Text of one line, such as a name.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// Reads a text with this many characters.
    ///
    /// # Errors
    /// If it is missing, too short or too long, or contains invalid characters.
    pub fn parse(text: &str, characters: &RangeInclusive<usize>) -> Result<Self, InvalidText> {
        let line = one_line(&visible(text)?);
        check(&line, characters)?;
        Ok(Self(line))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that may have several lines, such as an address.
#[derive(Clone, PartialEq, Eq)]
pub struct Lines(String);

impl Lines {
    /// Reads a text with this many characters. Empty lines are removed.
    ///
    /// # Errors
    /// If it is missing, too short or too long, or contains invalid characters.
    pub fn parse(text: &str, characters: &RangeInclusive<usize>) -> Result<Self, InvalidText> {
        let visible = visible(text)?;
        let lines = visible.split(ends_line).map(one_line);
        let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
        let text = lines.join("\n");
        check(&text, characters)?;
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text without invisible characters.
fn visible(text: &str) -> Result<String, InvalidText> {
    let mut visible = String::with_capacity(text.len());
    for character in text.chars() {
        if character == REPLACEMENT {
            return Err(InvalidText::LostCharacters);
        }
        if CodePointSetData::new::<BidiControl>().contains(character) {
            return Err(InvalidText::DirectionControls);
        }
        if character.is_control() && !character.is_whitespace() {
            return Err(InvalidText::ControlCharacters);
        }
        if !is_invisible(character) {
            visible.push(character);
        }
    }
    // A joiner joins two characters: at either end, next to a space or to another joiner, it is
    // invisible.
    let mut joined = String::with_capacity(visible.len());
    let mut rest = visible.chars();
    while let Some(character) = rest.next() {
        let joins = |other: Option<char>| {
            other.is_some_and(|other| !is_space(other) && !JOINERS.contains(&other))
        };
        let between = joins(joined.chars().last()) && joins(rest.clone().next());
        if !JOINERS.contains(&character) || between {
            joined.push(character);
        }
    }
    Ok(joined.nfc().collect())
}

/// Whether it has no shape of its own and does not change the shape of the character before it, as
/// variation selectors do in some Japanese names.
fn is_invisible(character: char) -> bool {
    let format =
        CodePointMapData::<GeneralCategory>::new().get(character) == GeneralCategory::Format;
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character);
    let selects = CodePointSetData::new::<VariationSelector>().contains(character);
    (format || ignorable) && !selects && !JOINERS.contains(&character)
}

fn is_space(character: char) -> bool {
    character.is_whitespace() || character == BRAILLE_BLANK
}

/// The line breaks of UAX #14: LF, VT, FF, CR, NEL, line separator and paragraph separator. CR LF
/// counts as two, with an empty line between them.
const fn ends_line(character: char) -> bool {
    matches!(character, '\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The words, separated by single spaces.
fn one_line(text: impl AsRef<str>) -> String {
    let words = text.as_ref().split(is_space);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn check(text: &str, characters: &RangeInclusive<usize>) -> Result<(), InvalidText> {
    if text.is_empty() {
        return Err(InvalidText::Missing);
    }
    if !text.chars().any(is_letter_or_digit) {
        return Err(InvalidText::SaysNothing);
    }
    let length = text.chars().count();
    if length < *characters.start() {
        return Err(InvalidText::TooShort(*characters.start()));
    }
    if length > *characters.end() {
        return Err(InvalidText::TooLong(*characters.end()));
    }
    Ok(())
}

fn is_letter_or_digit(character: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    GeneralCategoryGroup::Letter.contains(category)
        || GeneralCategoryGroup::Number.contains(category)
}

/// Keeps what people write out of logs.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line(…)")
    }
}

/// Keeps what people write out of logs.
impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lines(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<String, InvalidText> {
        Line::parse(text, &(1..=100)).map(|line| line.0)
    }

    fn lines(text: &str) -> Result<String, InvalidText> {
        Lines::parse(text, &(1..=100)).map(|lines| lines.0)
    }

    #[test]
    fn text_that_looks_the_same_is_stored_the_same() {
        for (typed, stored) in [
            ("Zoë Mega", "Zoë Mega"),
            ("\u{feff} Zoe\u{308}\u{a0}\u{3000}\tMega\r\n", "Zoë Mega"),
            (
                "Zo\u{ad}ë\u{200b}\u{2060}\u{3164} Me\u{34f}ga\u{e0041}",
                "Zoë Mega",
            ),
            // Composed once the character in between is gone.
            ("Zoe\u{200b}\u{308}", "Zoë"),
            ("Zoë\u{2800}Mega", "Zoë Mega"),
            (
                "\u{200d}Zoë\u{200c} Me\u{200d}\u{200d}ga\u{200d}",
                "Zoë Me\u{200d}ga",
            ),
        ] {
            assert_eq!(line(typed).as_deref(), Ok(stored), "{typed:?}");
            assert_eq!(line(stored).as_deref(), Ok(stored), "{stored:?}");
        }
    }

    #[test]
    fn characters_that_names_need_are_kept() {
        for name in [
            "می\u{200c}شاد",
            "ක්\u{200d}රිස්ටීනා",
            "葛\u{e0100}城",
            "O’Brien-Łęcki jr., 3rd",
            "李",
            "👩\u{200d}⚕\u{fe0f} Zoë",
        ] {
            assert_eq!(line(name).as_deref(), Ok(name), "{name:?}");
        }
    }

    #[test]
    fn an_address_has_single_line_breaks() {
        let typed = "\n 1\tMain  St\r\n\r\nApt. 2\u{2028}Boston\u{85}\u{200b}\n";
        assert_eq!(lines(typed).as_deref(), Ok("1 Main St\nApt. 2\nBoston"));
        assert_eq!(lines("Boston\u{b}MA\u{c}").as_deref(), Ok("Boston\nMA"));
    }

    #[test]
    fn text_without_letters_or_digits_is_rejected() {
        for nothing in [
            "",
            " ",
            "\u{200b}",
            "\u{3164}\u{ffa0}",
            "\u{2800}",
            "\u{fe0f}\u{200d}",
        ] {
            assert!(line(nothing).is_err(), "{nothing:?}");
            assert!(lines(nothing).is_err(), "{nothing:?}");
        }
        for nothing in ["…", "- -", "🩺", "\u{301}"] {
            assert_eq!(line(nothing), Err(InvalidText::SaysNothing), "{nothing:?}");
        }
        assert!(line("Ⅻ").is_ok());
    }

    #[test]
    fn control_characters_and_lost_characters_are_rejected() {
        for (text, refusal) in [
            ("a\0b", InvalidText::ControlCharacters),
            ("a\u{1b}[2J", InvalidText::ControlCharacters),
            ("a\u{9b}", InvalidText::ControlCharacters),
            ("a\u{202e}b", InvalidText::DirectionControls),
            ("a\u{2067}b", InvalidText::DirectionControls),
            ("a\u{200f}b", InvalidText::DirectionControls),
            ("a\u{fffd}b", InvalidText::LostCharacters),
        ] {
            assert_eq!(line(text), Err(refusal), "{text:?}");
            assert_eq!(lines(text), Err(refusal), "{text:?}");
        }
    }

    #[test]
    fn the_length_is_that_of_the_stored_text() {
        assert!(line(&"e\u{301}\u{200b}".repeat(100)).is_ok());
        assert_eq!(line(&"é".repeat(101)), Err(InvalidText::TooLong(100)));
        let reason = |text| Line::parse(text, &(10..=500)).err();
        assert_eq!(reason("a   b   c   d"), Some(InvalidText::TooShort(10)));
        assert_eq!(reason("a \u{200b}b, c, d, e"), None);
    }
}

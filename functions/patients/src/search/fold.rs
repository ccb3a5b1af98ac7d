//! Folding: text that people take for the same becomes the same.
//!
//! Names in Latin letters lose case, accents and apostrophes. Letters that a language writes in two
//! ways have two forms: Müller is found as Muller and as Mueller. Names in other scripts stay in
//! their script; Greek and Cyrillic ones have their transliteration beside them.

use deunicode::deunicode;
use unicode_normalization::UnicodeNormalization as _;

/// The most words that are read of one text.
const MOST_WORDS: usize = 40;

/// The most characters of a word.
const LONGEST: usize = 60;

/// A word in all of its forms. There is at least one, and the first is the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(Vec<String>);

impl Word {
    /// The usual form.
    pub(crate) fn usual(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// All forms.
    pub(crate) fn forms(&self) -> &[String] {
        &self.0
    }
}

/// The words of a text, in their order. White space, hyphens and punctuation separate words,
/// apostrophes do not.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let composed: String = text.nfc().collect();
    composed
        .split(|character: char| !is_of_word(character))
        .filter_map(word)
        .take(MOST_WORDS)
        .collect()
}

/// The text as one line of usual forms: what sorts alike is alike.
pub(crate) fn folded(text: &str) -> String {
    let words = words(text);
    let words: Vec<&str> = words.iter().map(Word::usual).collect();
    words.join(" ")
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || is_apostrophe(character) || is_mark(character)
}

const fn is_apostrophe(character: char) -> bool {
    matches!(
        character,
        '\'' | '\u{2019}' | '\u{2018}' | '\u{2bc}' | '\u{2bb}' | '`' | '\u{b4}'
    )
}

/// A combining mark belongs to the letter before it.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | '\u{200d}')
        || unicode_normalization::char::is_combining_mark(character)
}

fn word(text: &str) -> Option<Word> {
    let letters: String = text.chars().filter(|&c| !is_apostrophe(c)).collect();
    let mut forms = Vec::new();
    let mut add = |form: String| {
        let form: String = form.chars().take(LONGEST).collect();
        if !form.is_empty() && !forms.contains(&form) {
            forms.push(form);
        }
    };
    if letters.chars().all(is_latin) {
        add(ascii(&letters));
        // As German, Danish and Swedish write it without the letters.
        let spelled: String = letters.chars().map(spelled).collect();
        add(ascii(&spelled));
    } else {
        let lower = letters.to_lowercase();
        let own: String = lower
            .nfkd()
            .filter(|&c| !is_greek_accent(c))
            .nfkc()
            .collect();
        add(own
            .chars()
            .filter(|c| c.is_alphanumeric() || is_mark(*c))
            .collect());
        if letters.chars().all(is_transliterated) {
            add(ascii(&letters));
        }
    }
    (!forms.is_empty()).then_some(Word(forms))
}

/// In ASCII letters and digits, lower case. What deunicode makes of a letter may be in upper case.
fn ascii(letters: &str) -> String {
    let plain: String = letters
        .nfkd()
        .filter(|&c| !('\u{300}'..='\u{36f}').contains(&c))
        .collect();
    let plain = deunicode(&plain).to_ascii_lowercase();
    plain.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn spelled(letter: char) -> String {
    let spelling = match letter {
        'ä' | 'Ä' | 'æ' | 'Æ' => "ae",
        'ö' | 'Ö' | 'ø' | 'Ø' | 'œ' | 'Œ' => "oe",
        'ü' | 'Ü' => "ue",
        'å' | 'Å' => "aa",
        'ß' | 'ẞ' => "ss",
        _ => return letter.to_string(),
    };
    spelling.to_owned()
}

/// Latin letters, with digits and marks.
const fn is_latin(letter: char) -> bool {
    matches!(letter, '\0'..='\u{24f}' | '\u{250}'..='\u{2af}' | '\u{300}'..='\u{36f}'
        | '\u{1e00}'..='\u{1eff}' | '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}'
        | '\u{fb00}'..='\u{fb06}' | '\u{ff10}'..='\u{ff5a}')
}

/// Scripts whose transliteration people can be expected to type. What deunicode makes of Japanese
/// names is Chinese.
const fn is_transliterated(letter: char) -> bool {
    matches!(letter, '0'..='9' | '\u{300}'..='\u{36f}' | '\u{370}'..='\u{52f}'
        | '\u{10a0}'..='\u{10ff}' | '\u{530}'..='\u{58f}' | '\u{1f00}'..='\u{1fff}')
}

const fn is_greek_accent(mark: char) -> bool {
    matches!(
        mark,
        '\u{300}' | '\u{301}' | '\u{308}' | '\u{313}' | '\u{314}' | '\u{342}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_apostrophes_do_not_matter() {
        for (one, other) in [
            ("Gómez", "gomez"),
            ("Łukasz", "LUKASZ"),
            ("Đorđe", "Dorde"),
            ("Søren", "Soren"),
            ("STRAẞE", "strasse"),
            ("Zoë", "Zoe\u{308}"),
            ("O'Brien", "O’Brien"),
            ("O'Brien", "OBrien"),
            ("Ｓｍｉｔｈ", "Smith"),
            ("Nguyễn", "Nguyen"),
            ("İbrahim", "ibrahim"),
        ] {
            assert_eq!(folded(one), folded(other), "{one}");
        }
        assert_eq!(folded(" van  der-Berg, Anna "), "van der berg anna");
    }

    #[test]
    fn a_letter_with_two_spellings_has_two_forms() {
        let forms = |text: &str| words(text).remove(0).0;
        assert_eq!(forms("Müller"), ["muller", "mueller"]);
        assert_eq!(forms("Ærø"), ["aero", "aeroe"]);
        assert_eq!(forms("Smith"), ["smith"]);
    }

    #[test]
    fn other_scripts_stay_and_some_are_transliterated() {
        let forms = |text: &str| words(text).remove(0).0;
        assert_eq!(forms("Иванов"), ["иванов", "ivanov"]);
        assert_eq!(forms("王芳"), ["王芳"]);
        assert_eq!(folded("Παπαδόπουλος"), folded("ΠΑΠΑΔΟΠΟΥΛΟΣ"));
        assert!(words("🩺 — !").is_empty());
    }
}

//! Which passwords are too common to be chosen (NIST SP 800-63B, section 3.1.1.2; OWASP ASVS 5,
//! 6.2.4): nobody has to use a digit or a capital letter, but `Password123!` is not accepted
//! either.
//!
//! A password is too common if
//!
//! - it consists of one or two of the words in `common_words.txt`, ignoring anything that is not a
//!   letter before, between and after them, and with the usual digits and symbols in place of
//!   letters (`p4$$w0rd`);
//! - it is in that list as typed;
//! - it repeats a few characters, or counts up or down;
//! - it is the user's or the clinic's name and a few characters;
//! - `zxcvbn` guesses it quickly: it knows 30,000 leaked passwords and common ways of varying them,
//!   words, names, dates and keyboard patterns.

use std::collections::HashSet;

use zxcvbn::{Score, zxcvbn};

const LIST: &str = include_str!("common_words.txt");

/// Up to this many characters beside a name do not make a password.
const ADDITION: usize = 7;

/// Shorter names are ignored.
const SHORTEST_NAME: usize = 3;

/// The longest pattern that counts as repeated: `abcd` three times.
const LONGEST_PATTERN: usize = 5;

/// Whether attackers would try it, given the names that belong to the account: the parts of its
/// address, and the clinic's name.
pub(crate) fn is_too_common<'a>(password: &str, names: impl Iterator<Item = &'a str>) -> bool {
    let names: Vec<&str> = names.collect();
    let list: HashSet<&str> = LIST
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .collect();
    let lower = password.to_lowercase();
    let compact: String = lower.chars().filter(|c| !c.is_whitespace()).collect();
    let characters: Vec<char> = compact.chars().collect();
    list.contains(lower.as_str())
        || list.contains(compact.as_str())
        || is_repeated(&characters)
        || counts(&characters)
        || [letters(&compact), letters(&as_letters(&compact))]
            .iter()
            .any(|letters| is_made_of(letters, &list))
        || is_little_more_than(&compact, &names)
        || is_guessed_soon(password, &names)
}

/// Only the letters of the text.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphabetic()).collect()
}

/// Replaces digits and symbols with the letters that they usually stand for.
fn as_letters(text: &str) -> String {
    let trimmed = text.trim_end_matches(|c: char| !c.is_alphabetic());
    trimmed
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | '!' | '|' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' | '+' => 't',
            other => other,
        })
        .collect()
}

/// Whether it is empty, or one or two words of the list.
fn is_made_of(letters: &str, list: &HashSet<&str>) -> bool {
    letters.is_empty()
        || list.contains(letters)
        || letters.char_indices().skip(1).any(|(at, _)| {
            let (one, other) = letters.split_at(at);
            list.contains(one) && list.contains(other)
        })
}

fn is_repeated(characters: &[char]) -> bool {
    (1..=LONGEST_PATTERN).any(|length| {
        characters.len() > length
            && characters
                .iter()
                .zip(&characters[length..])
                .all(|(one, next)| one == next)
    })
}

/// Whether it counts up or down in equal steps: `abcdefghijkl`, `210987654321`.
fn counts(characters: &[char]) -> bool {
    let step = |pair: &[char]| {
        let (one, next) = (u32::from(pair[0]), u32::from(pair[1]));
        match (pair[0], pair[1]) {
            ('9', '0') => 1,
            ('0', '9') => -1,
            _ => i64::from(next) - i64::from(one),
        }
    };
    let mut steps = characters.windows(2).map(step);
    steps
        .next()
        .is_some_and(|first| first.abs() <= 1 && steps.all(|step| step == first))
}

/// Whether fewer than 10^8 guesses find it, by an attacker who knows what people choose (a score
/// below 3).
fn is_guessed_soon(password: &str, names: &[&str]) -> bool {
    zxcvbn(password, names).score() < Score::Three
}

fn is_little_more_than(password: &str, names: &[&str]) -> bool {
    let mut rest = password.to_owned();
    let mut found = false;
    let mut names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    // Longest first, so that no part of a longer one is left over.
    names.sort_by_key(|name| std::cmp::Reverse(name.chars().count()));
    for name in names {
        if name.chars().count() >= SHORTEST_NAME && rest.contains(&name) {
            rest = rest.replace(&name, "");
            found = true;
        }
    }
    found && rest.chars().count() <= ADDITION
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_common(password: &str) -> bool {
        let names = [
            "zoe.larsen@clinic.example",
            "zoe.larsen",
            "zoe",
            "larsen",
            "Nordlys Clinic",
        ];
        is_too_common(password, names.into_iter())
    }

    #[test]
    fn passwords_that_attackers_try_are_too_common() {
        for password in [
            "password1234",
            "Password123!",
            "PasswordPassword",
            "P@ssw0rd2026",
            "p4$$w0rd!!!!",
            "!!!Welcome2026!!!",
            "welcome clinic 1",
            "qwertyuiop123",
            "1q2w3e4r5t6y",
            "1Q2W3E4R5T6Y",
            "123456789012",
            "098765432109",
            "abcdefghijklm",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "12341234 1234",
            "🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑",
            "iloveyou iloveyou",
            "administrator1",
            "2026-11-20-2026",
            "!@#$%^&*()_+",
            "zoe.larsen@clinic.example",
            "zoe.larsen2026",
            "Larsen-Zoe-2026",
            "larsenlarsen1",
            "14/02/1990-14/02",
            // What zxcvbn knows.
            "manchesterunited",
            "michellejessica",
            "liverpool2005!",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn passwords_that_nobody_would_guess_are_not_too_common() {
        for password in [
            "correct horse battery",
            "staple the horse again",
            "tr0ub4dor&3xyz",
            "der Nordwind und die Sonne",
            "каждый охотник желает",
            "五月雨を集めて早し最上川で",
            "kJ8#mQ2$vL9z",
            "larsen likes long walks in the rain",
            "0f8fad5b-d9cb-469f-a165",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }

    #[test]
    fn the_word_list_is_lower_case_and_without_duplicates() {
        let mut lines: Vec<&str> = LIST
            .lines()
            .filter(|line| !line.starts_with("# "))
            .collect();
        let count = lines.len();
        assert!(lines.iter().all(|line| *line == line.to_lowercase().trim()));
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), count);
    }
}

//! Who is compared with whom: patients who have one of these in common.
//!
//! To compare everybody with everybody would take days. Whoever is compared shares a birth date, a
//! telephone number, a mailbox, a number of another system, the street and the house, how a name
//! sounds at a postal code, or how both names sound in a year or on a day of birth. With four keys of
//! which a typo spoils one or two, few pairs are missed.

use std::collections::BTreeSet;

use crate::{
    patient::Patient,
    record::{BirthPrecision, Name},
    search::{fold, phonetic, terms},
};

/// What the keys begin with that are not terms of the search anyway.
const KEY: char = '+';

/// The most characters of a line of an address that are compared.
const LONGEST_LINE: usize = 100;

/// The keys of a patient.
#[must_use]
pub fn of(patient: &Patient) -> BTreeSet<String> {
    let mut keys = own(patient);
    if patient.birth_date.precision == BirthPrecision::Day {
        keys.insert(format!("{}{}", terms::BORN, patient.birth_date.value));
    }
    for phone in &patient.phones {
        keys.extend(terms::phone_term(
            phone.e164.as_ref().unwrap_or(&phone.number),
        ));
    }
    for email in &patient.emails {
        keys.insert(format!("{}{}", terms::EMAIL, email.address.to_lowercase()));
    }
    keys
}

/// Those that the search has no use for.
pub(crate) fn own(patient: &Patient) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let born = &patient.birth_date.value;
    let (year, day) = (born.get(..4).unwrap_or_default(), born.get(5..10));
    for name in &patient.names {
        let (family, given) = sounds(name);
        for address in &patient.addresses {
            let Some(code) = &address.postal_code else {
                continue;
            };
            let code = fold::folded(code);
            let families = family.iter().map(|sound| format!("{KEY}f {sound} {code}"));
            let givens = given.iter().map(|sound| format!("{KEY}g {sound} {code}"));
            keys.extend(families.chain(givens));
        }
        for family in &family {
            for given in &given {
                // In either order: many fill in one for the other.
                let (first, second) = (family.min(given), family.max(given));
                keys.insert(format!("{KEY}y {first} {second} {year}"));
                keys.extend(day.map(|day| format!("{KEY}d {first} {second} {day}")));
            }
        }
    }
    for address in &patient.addresses {
        let line = address.lines.first().map(|line| fold::folded(line));
        // A number alone is in every street.
        let line = line.filter(|line| line.split(' ').count() > 1);
        // Folding may make one letter many, and an entry of the index has a limit.
        let line = line.map(|line| line.chars().take(LONGEST_LINE).collect::<String>());
        keys.extend(line.map(|line| format!("{KEY}a {line}")));
    }
    for identifier in &patient.identifiers {
        let value: String = identifier
            .value
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect();
        // Short ones are numbers that every system gives.
        if value.chars().count() >= 5 {
            keys.insert(format!("{KEY}i {}", value.to_lowercase()));
        }
    }
    keys
}

/// How the family name and the given names sound; words that have no sound are themselves.
fn sounds(name: &Name) -> (BTreeSet<String>, BTreeSet<String>) {
    let (family, given) = parts(name);
    let sound = |words: Vec<String>| {
        let sounds = words.into_iter().flat_map(|word| {
            let codes = phonetic::codes(&word);
            if codes.is_empty() { vec![word] } else { codes }
        });
        sounds.collect()
    };
    (sound(family), sound(given.into_iter().take(1).collect()))
}

/// The words of the family name and of the given names, folded. If nobody has said which part of the
/// name is the family's, it is the last word.
pub(crate) fn parts(name: &Name) -> (Vec<String>, Vec<String>) {
    let words = |text: &str| -> Vec<String> {
        let words = fold::words(text);
        words.iter().map(|word| word.usual().to_owned()).collect()
    };
    if let Some(family) = &name.family {
        return (words(family), words(&name.given.join(" ")));
    }
    let mut all = words(&name.text);
    let family = all.pop().into_iter().collect();
    (family, all)
}

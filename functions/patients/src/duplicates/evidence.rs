//! How likely it is that two patients are one (Fellegi and Sunter, 1969).
//!
//! Each thing that is known of both is evidence for it or against it: its weight is the logarithm of
//! how much more often it agrees for records of one patient than for those of two. What is missing of
//! one says nothing: two empty fields are not equal.

use std::collections::BTreeSet;

use strsim::{jaro_winkler, osa_distance};

use super::keys::parts;
use crate::{
    patient::Patient,
    record::{BirthPrecision, NameUse, Sex},
    search::{fold, terms},
};

/// Before anything is compared: two patients who share a key are rarely one.
const PRIOR: f64 = -11.0;

/// How likely it is that these are records of one patient, 0 to 1.
#[must_use]
pub fn score(one: &Patient, other: &Patient) -> f64 {
    let weight = PRIOR
        + names(one, other)
        + births(one, other)
        + sexes(one, other)
        + numbers(one, other)
        + contacts(one, other)
        + places(one, other);
    let score = 1.0 / (1.0 + (-weight).exp2());
    (score * 10_000.0).round() / 10_000.0
}

/// Whether two patients of the same name, born on the same day, differ in something that is known of
/// both and that people rarely change.
pub(crate) fn contradict(one: &Patient, other: &Patient) -> bool {
    if let (Some(one), Some(other)) = (one.sex, other.sex)
        && [one, other]
            .iter()
            .all(|sex| matches!(sex, Sex::Female | Sex::Male))
        && one != other
    {
        return true;
    }
    let differ = one.identifiers.iter().any(|identifier| {
        let mut others = other.identifiers.iter();
        others.any(|other| other.system == identifier.system && other.value != identifier.value)
    });
    if differ {
        return true;
    }
    let common = common(one, other);
    // One thing in common is enough; with none in common, one that differs is too much.
    !common.contains(&Some(true)) && common.contains(&Some(false))
}

/// Whether two patients of the same name share a mailbox, a telephone number or an address.
pub(crate) fn share_something(one: &Patient, other: &Patient) -> bool {
    common(one, other).contains(&Some(true))
}

/// Of mailboxes, telephone numbers and addresses: whether they have one in common, if both have any.
fn common(one: &Patient, other: &Patient) -> [Option<bool>; 3] {
    let shared = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        (!one.is_empty() && !other.is_empty()).then(|| !one.is_disjoint(other))
    };
    [
        shared(&mailboxes(one), &mailboxes(other)),
        shared(&phones(one), &phones(other)),
        shared(&addresses(one), &addresses(other)),
    ]
}

fn mailboxes(patient: &Patient) -> BTreeSet<String> {
    patient
        .emails
        .iter()
        .map(|email| email.address.to_lowercase())
        .collect()
}

fn phones(patient: &Patient) -> BTreeSet<String> {
    let phones = patient.phones.iter();
    phones
        .filter_map(|phone| terms::phone_term(phone.e164.as_ref().unwrap_or(&phone.number)))
        .collect()
}

fn addresses(patient: &Patient) -> BTreeSet<String> {
    patient
        .addresses
        .iter()
        .map(|address| fold::folded(&address.text))
        .collect()
}

/// The best of how the names of one agree with those of the other: a former name counts.
fn names(one: &Patient, other: &Patient) -> f64 {
    let current = |patient: &Patient| -> Vec<(String, String)> {
        let names = patient
            .names
            .iter()
            .filter(|name| name.r#use != NameUse::Usual);
        names
            .map(|name| {
                let (family, given) = parts(name);
                (family.join(" "), given.join(" "))
            })
            .collect()
    };
    let (ones, others) = (current(one), current(other));
    let mut best: Option<f64> = None;
    for (family, given) in &ones {
        for (other_family, other_given) in &others {
            let straight = word(family, other_family, 7.5) + word(given, other_given, 6.0);
            // Given and family name in each other's place.
            let swapped = word(family, other_given, 7.5) + word(given, other_family, 6.0) - 1.5;
            let weight = straight.max(swapped);
            best = Some(best.map_or(weight, |best| best.max(weight)));
        }
    }
    best.unwrap_or_default()
}

/// The weight of two words, of which this is the most.
fn word(one: &str, other: &str, most: f64) -> f64 {
    if one.is_empty() || other.is_empty() {
        return 0.0;
    }
    match jaro_winkler(one, other) {
        _ if one == other => most,
        likeness if likeness >= 0.92 => 0.75 * most,
        likeness if likeness >= 0.85 => 0.4 * most,
        likeness if likeness >= 0.75 => -0.5,
        _ => -3.0,
    }
}

fn births(one: &Patient, other: &Patient) -> f64 {
    let (one, other) = (&one.birth_date, &other.birth_date);
    let known = one.value.len().min(other.value.len());
    let is_day = one.precision == BirthPrecision::Day && other.precision == BirthPrecision::Day;
    if one.value == other.value {
        return match one.precision {
            BirthPrecision::Day => 12.0,
            BirthPrecision::Month => 8.0,
            BirthPrecision::Year => 4.0,
        };
    }
    if is_day {
        let swapped = format!(
            "{}-{}-{}",
            other.value.get(..4).unwrap_or_default(),
            other.value.get(8..).unwrap_or_default(),
            other.value.get(5..7).unwrap_or_default(),
        );
        return match osa_distance(&one.value, &other.value) {
            // One digit, or two neighbours.
            1 => 7.0,
            _ if swapped == one.value => 7.5,
            2 => 2.0,
            _ => -4.0,
        };
    }
    // As far as both are known.
    if one.value.get(..known) == other.value.get(..known) {
        4.0
    } else {
        -4.0
    }
}

fn sexes(one: &Patient, other: &Patient) -> f64 {
    match (one.sex, other.sex) {
        (None | Some(Sex::Unknown), _) | (_, None | Some(Sex::Unknown)) => 0.0,
        (one, other) if one == other => 0.9,
        _ => -3.5,
    }
}

/// Numbers that others have given them.
fn numbers(one: &Patient, other: &Patient) -> f64 {
    let plain = |value: &str| -> String {
        let value = value.chars().filter(|c| c.is_alphanumeric());
        value.flat_map(char::to_lowercase).collect()
    };
    let mut best: f64 = 0.0;
    let mut differs = false;
    for identifier in &one.identifiers {
        for second in &other.identifiers {
            let (value, second_value) = (plain(&identifier.value), plain(&second.value));
            let is_long = value.chars().count() >= 5;
            if is_long && value == second_value {
                best = best.max(16.0);
            } else if is_long && osa_distance(&value, &second_value) == 1 {
                best = best.max(8.0);
            } else {
                differs |= identifier.system == second.system;
            }
        }
    }
    if best == 0.0 && differs { -4.0 } else { best }
}

/// Telephones and mailboxes: families share them.
fn contacts(one: &Patient, other: &Patient) -> f64 {
    let agree = |one: BTreeSet<String>, other: BTreeSet<String>, weight| {
        if one.is_empty() || other.is_empty() {
            0.0
        } else if one.is_disjoint(&other) {
            -1.0
        } else {
            weight
        }
    };
    agree(phones(one), phones(other), 7.0) + agree(mailboxes(one), mailboxes(other), 7.0)
}

/// Where they live: families share it, and people move.
fn places(one: &Patient, other: &Patient) -> f64 {
    let mut best: Option<f64> = None;
    for address in &one.addresses {
        for second in &other.addresses {
            let mut weight = 0.0;
            if let (Some(one), Some(other)) = (&address.postal_code, &second.postal_code) {
                weight += match osa_distance(&fold::folded(one), &fold::folded(other)) {
                    0 => 5.0,
                    1 => 2.0,
                    _ => -1.0,
                };
            }
            let (text, other_text) = if address.lines.is_empty() || second.lines.is_empty() {
                (fold::folded(&address.text), fold::folded(&second.text))
            } else {
                (
                    fold::folded(&address.lines.join(" ")),
                    fold::folded(&second.lines.join(" ")),
                )
            };
            weight += match jaro_winkler(&text, &other_text) {
                _ if text.is_empty() || other_text.is_empty() => 0.0,
                likeness if likeness >= 0.99 => 6.0,
                likeness if likeness >= 0.9 => 4.0,
                _ => -1.0,
            };
            if let (Some(one), Some(other)) = (&address.city, &second.city) {
                let likeness = jaro_winkler(&fold::folded(one), &fold::folded(other));
                weight += if likeness >= 0.9 { 2.0 } else { -0.5 };
            }
            best = Some(best.map_or(weight, |best| best.max(weight)));
        }
    }
    best.unwrap_or_default()
}

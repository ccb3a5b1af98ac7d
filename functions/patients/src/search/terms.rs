//! What a patient is found by: the rows of `patients.search_term`. Beside the terms of the search,
//! they hold what duplicates have in common (see [`crate::duplicates::keys`]).

use std::collections::BTreeSet;

use store::Transaction;

use super::{
    fold::{self, Word},
    phonetic, vocabulary,
};
use crate::{
    duplicates::keys,
    patient::Patient,
    record::{Name, NameUse},
};

/// Which form the terms have. Increase it when folding changes: every patient gets their terms anew
/// (see [`catch_up`](super::catch_up)).
pub(crate) const FORM: i16 = 1;

/// The most characters of a sort key.
const LONGEST_KEY: usize = 80;

/// The most bytes of what stands beside a term: an entry of the index has to fit on a third of a
/// page, with the term and the sort key.
const MOST_BESIDE: usize = 1900;

/// What the terms of words of names, codes, dates, telephone numbers and mailboxes begin with.
pub(crate) const SOUND: char = '~';
pub(crate) const BORN: char = '@';
pub(crate) const PHONE: char = '-';
pub(crate) const EMAIL: char = '=';

/// The order of the patient in lists: family name, given names. If nobody has said which part of
/// the name is the family's, it is the last word.
pub(crate) fn sort_key(patient: &Patient) -> String {
    let official = patient
        .names
        .iter()
        .find(|name| name.r#use == NameUse::Official);
    let of_family = official.and_then(|name| {
        let family = fold::folded(name.family.as_ref()?);
        Some(format!("{family} {}", fold::folded(&name.given.join(" "))))
    });
    let key = of_family.unwrap_or_else(|| {
        let words = fold::words(&patient.name);
        let words: Vec<&str> = words.iter().map(Word::usual).collect();
        let family = words.split_last();
        family.map_or_else(String::new, |(family, given)| {
            format!("{family} {}", given.join(" "))
        })
    });
    let key = key.trim();
    // Names without a letter that can be folded come last, in their own order.
    let key = if key.is_empty() { &patient.name } else { key };
    key.chars().take(LONGEST_KEY).collect()
}

/// Whether the words of these names are few enough for a search to look for all of them at once.
pub(crate) fn can_be_found_by(names: &[Name]) -> bool {
    let words = words_of(names);
    is_beside(&words) && is_beside(&sounds_of(&words))
}

/// Every word of every name of the patient, in all its forms.
pub(crate) fn name_terms(patient: &Patient) -> BTreeSet<String> {
    words_of(&patient.names)
}

/// Every word of every name, in all its forms.
pub(crate) fn words_of(names: &[Name]) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    for name in names {
        let parts = name.given.iter().chain(&name.family);
        for text in parts.chain([&name.text]) {
            let words = fold::words(text);
            terms.extend(words.iter().flat_map(|word| word.forms().iter().cloned()));
        }
        // A family name of several words is often written as one: van den Berg, Vandenberg.
        if let Some(family) = &name.family {
            let words = fold::words(family);
            let joined: String = words.iter().map(Word::usual).collect();
            if words.len() > 1 && joined.len() <= 60 {
                terms.insert(joined);
            }
        }
    }
    terms
}

/// The digits of a telephone number as a term: the last one first, so that a number without its
/// country's code, or the end of one, is the beginning of the term.
pub(crate) fn phone_term(number: &str) -> Option<String> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let reversed: String = digits.chars().rev().collect();
    (reversed.len() >= 3).then(|| format!("{PHONE}{reversed}"))
}

struct Terms {
    terms: Vec<String>,
    beside: Vec<String>,
}

fn terms(patient: &Patient) -> Terms {
    let words = name_terms(patient);
    let sounds = sounds_of(&words);
    let beside_words = beside(&words);
    let beside_sounds = beside(&sounds);
    let mut others = BTreeSet::from([format!("{BORN}{}", patient.birth_date.value)]);
    for phone in &patient.phones {
        others.extend(phone_term(phone.e164.as_ref().unwrap_or(&phone.number)));
    }
    for email in &patient.emails {
        others.insert(format!("{EMAIL}{}", email.address.to_lowercase()));
    }
    others.extend(keys::own(patient));
    let mut all = Terms {
        terms: Vec::new(),
        beside: Vec::new(),
    };
    for (terms, beside) in [
        (words, &*beside_words),
        (sounds, &*beside_sounds),
        (others, ""),
    ] {
        for term in terms {
            all.terms.push(term);
            all.beside.push(beside.to_owned());
        }
    }
    all
}

fn sounds_of(words: &BTreeSet<String>) -> BTreeSet<String> {
    let codes = words.iter().flat_map(|word| phonetic::codes(word));
    codes.map(|code| format!("{SOUND}{code}")).collect()
}

/// All terms that fit. Nobody can enter names with more, but there are patients from before.
fn beside(terms: &BTreeSet<String>) -> String {
    let mut all = " ".to_owned();
    for term in terms {
        if all.len() + term.len() < MOST_BESIDE {
            all.push_str(term);
            all.push(' ');
        }
    }
    all
}

fn is_beside(terms: &BTreeSet<String>) -> bool {
    let bytes: usize = terms.iter().map(|term| term.len() + 1).sum();
    bytes < MOST_BESIDE
}

/// Makes the patient findable by what they are now.
pub(crate) async fn store(
    patient: &Patient,
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    if patient.merged_into.is_some() {
        sqlx::query!(
            "DELETE FROM patients.search_term WHERE patient_id = $1",
            patient.id
        )
        .execute(&mut *transaction)
        .await?;
        return Ok(());
    }
    let sort_key = sort_key(patient);
    let Terms { terms, beside } = terms(patient);
    sqlx::query!(
        "DELETE FROM patients.search_term
         WHERE patient_id = $1
           AND (sort_key <> $2
                OR NOT EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS kept (term, beside)
                               WHERE kept.term = search_term.term AND kept.beside = search_term.beside))",
        patient.id,
        sort_key,
        &terms,
        &beside,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO patients.search_term (patient_id, term, sort_key, beside, restricted, gone)
         SELECT $1, term, $2, beside, $5, $6
         FROM unnest($3::text[], $4::text[]) AS made (term, beside)
         ON CONFLICT DO NOTHING",
        patient.id,
        sort_key,
        &terms,
        &beside,
        patient.restricted,
        patient.deleted_at.is_some(),
    )
    .execute(&mut *transaction)
    .await?;
    let words = name_terms(patient).into_iter().collect();
    vocabulary::learn(words, transaction).await
}

/// Makes patients findable who were not there before.
pub(crate) async fn store_new(
    patients: &[Patient],
    transaction: &mut Transaction,
) -> Result<(), sqlx::Error> {
    let (mut ids, mut keys, mut made, mut besides) = (vec![], vec![], vec![], vec![]);
    let mut words = BTreeSet::new();
    for patient in patients {
        let sort_key = sort_key(patient);
        let Terms { terms, beside } = terms(patient);
        for (term, beside) in terms.into_iter().zip(beside) {
            ids.push(patient.id);
            keys.push(sort_key.clone());
            made.push(term);
            besides.push(beside);
        }
        words.extend(name_terms(patient));
    }
    sqlx::query!(
        "INSERT INTO patients.search_term (patient_id, term, sort_key, beside, restricted, gone)
         SELECT patient_id, term, sort_key, beside, false, false
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
             AS made (patient_id, term, sort_key, beside)
         ORDER BY term COLLATE \"C\"",
        &ids,
        &made,
        &keys,
        &besides,
    )
    .execute(&mut *transaction)
    .await?;
    vocabulary::learn(words.into_iter().collect(), transaction).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_number_is_the_beginning_of_its_term() {
        let whole = phone_term("+44 20 7946 0958").unwrap();
        for part in ["020 7946 0958", "0044 20 79460958", "79460958", "0958"] {
            assert!(whole.starts_with(&phone_term(part).unwrap()), "{part}");
        }
        assert!(!whole.starts_with(&phone_term("7946 0959").unwrap()));
        assert_eq!(phone_term("12"), None);
    }
}

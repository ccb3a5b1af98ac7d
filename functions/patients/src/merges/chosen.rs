//! What of two records the one that remains has.

use api::{InputErrors, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    patient::{Patient, born_before_registered, must_fit_on_a_page},
    record::{Name, NameUse},
};

/// The most entries of a list: as many as a patient may have.
const MOST: usize = crate::record::MOST;

/// Which of the two records a field is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = MergeSource)]
pub(crate) enum Source {
    /// The record that remains.
    Survivor,
    /// The record that is merged into it.
    Duplicate,
    /// Both, for lists: those of the survivor first.
    Both,
}

/// Which record each field is taken from. Of a list that is not named, both are kept; of anything
/// else, what the survivor has, or the duplicate if the survivor has nothing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MergeChoices)]
pub(crate) struct Choices {
    /// The official name. The other one stays as a former name.
    name: Option<Source>,
    /// The e-mail addresses.
    emails: Option<Source>,
    /// The postal addresses.
    addresses: Option<Source>,
    /// The telephone numbers.
    phones: Option<Source>,
    /// The people to turn to.
    contacts: Option<Source>,
    /// The birth date.
    birth_date: Option<Source>,
    /// The sex on record.
    sex: Option<Source>,
    /// How the patient describes their gender.
    gender_identity: Option<Source>,
    /// The language.
    language: Option<Source>,
    /// Whether and when the patient has died.
    deceased: Option<Source>,
    /// When the clinic registered the patient: of a field that is not named, the earlier date.
    registered_date: Option<Source>,
}

/// The record that remains, with what is taken from the other.
///
/// # Errors
/// 400 if a field that can have one value is to have both, or a list becomes too long.
#[expect(clippy::too_many_lines, reason = "one paragraph for each field")]
pub(super) fn merged(
    survivor: &Patient,
    duplicate: &Patient,
    choices: &Choices,
) -> Result<Patient, Problem> {
    let mut errors = InputErrors::default();
    let mut merged = survivor.clone();
    let single = |errors: &mut InputErrors, name: &str, choice: Option<Source>, is_empty: bool| {
        let source = match choice {
            Some(Source::Both) => Err("Can have one value: must be SURVIVOR or DUPLICATE"),
            Some(source) => Ok(source),
            None if is_empty => Ok(Source::Duplicate),
            None => Ok(Source::Survivor),
        };
        errors.field(&format!("fields.{name}"), source) == Some(Source::Duplicate)
    };
    if single(&mut errors, "birthDate", choices.birth_date, false) {
        merged.birth_date = duplicate.birth_date.clone();
        merged.date_of_birth = duplicate.date_of_birth;
    }
    if single(&mut errors, "sex", choices.sex, survivor.sex.is_none()) {
        merged.sex = duplicate.sex;
    }
    let is_empty = survivor.gender_identity.is_none();
    if single(
        &mut errors,
        "genderIdentity",
        choices.gender_identity,
        is_empty,
    ) {
        merged
            .gender_identity
            .clone_from(&duplicate.gender_identity);
    }
    if single(
        &mut errors,
        "language",
        choices.language,
        survivor.language.is_none(),
    ) {
        merged.language.clone_from(&duplicate.language);
    }
    if single(
        &mut errors,
        "deceased",
        choices.deceased,
        !survivor.deceased,
    ) {
        merged.deceased = duplicate.deceased;
        merged.deceased_date = duplicate.deceased_date;
    }
    let is_later = duplicate.registered_date < survivor.registered_date;
    if single(
        &mut errors,
        "registeredDate",
        choices.registered_date,
        is_later,
    ) {
        merged.registered_date = duplicate.registered_date;
    }
    let takes_name = single(&mut errors, "name", choices.name, false);
    merged.names = names(survivor, duplicate, takes_name);
    merged.name = merged
        .names
        .first()
        .map(|name| name.text.clone())
        .unwrap_or_default();
    merged.emails = list(
        choices.emails,
        &survivor.emails,
        &duplicate.emails,
        |one, other| one.address.eq_ignore_ascii_case(&other.address),
    );
    merged.email = merged.emails.first().map(|email| email.address.clone());
    merged.addresses = list(
        choices.addresses,
        &survivor.addresses,
        &duplicate.addresses,
        |one, other| one.text == other.text,
    );
    merged.address = merged.addresses.first().map(|address| address.text.clone());
    merged.phones = list(
        choices.phones,
        &survivor.phones,
        &duplicate.phones,
        |one, other| one.number == other.number || (one.e164.is_some() && one.e164 == other.e164),
    );
    merged.contacts = list(
        choices.contacts,
        &survivor.contacts,
        &duplicate.contacts,
        |one, other| one == other,
    );
    // What others have given the patient is theirs, whichever record it was written into.
    merged.identifiers = list(
        None,
        &survivor.identifiers,
        &duplicate.identifiers,
        |one, other| one == other,
    );
    for (name, length) in [
        ("name", merged.names.len()),
        ("emails", merged.emails.len()),
        ("addresses", merged.addresses.len()),
        ("phones", merged.phones.len()),
        ("contacts", merged.contacts.len()),
        ("identifiers", merged.identifiers.len()),
    ] {
        let few = (length <= MOST)
            .then_some(())
            .ok_or(format!("Would have more than {MOST} entries"));
        errors.field(&format!("fields.{name}"), few);
    }
    if !errors.is_empty() {
        return Err(errors.into_problem());
    }
    born_before_registered(merged.date_of_birth, merged.registered_date)?;
    if merged
        .deceased_date
        .is_some_and(|date| date < merged.date_of_birth)
    {
        let message = "Would be dead before the date of birth: choose the other date";
        return Err(Problem::invalid_field("fields.deceased", message));
    }
    must_fit_on_a_page(&(
        &merged.names,
        &merged.identifiers,
        &merged.phones,
        &merged.emails,
        &merged.addresses,
        &merged.contacts,
    ))?;
    merged.restricted |= duplicate.restricted;
    Ok(merged)
}

/// The official name first; the other one, and whatever else either was called, still finds them.
fn names(survivor: &Patient, duplicate: &Patient, takes_duplicate: bool) -> Vec<Name> {
    let (first, second) = if takes_duplicate {
        (duplicate, survivor)
    } else {
        (survivor, duplicate)
    };
    let mut names = first.names.clone();
    for name in &second.names {
        if names.iter().all(|known| known.text != name.text) {
            let mut name = name.clone();
            if name.r#use == NameUse::Official {
                name.r#use = NameUse::Former;
            }
            names.push(name);
        }
    }
    names
}

fn list<T: Clone>(
    choice: Option<Source>,
    survivor: &[T],
    duplicate: &[T],
    is_same: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    match choice {
        Some(Source::Survivor) => survivor.to_vec(),
        Some(Source::Duplicate) => duplicate.to_vec(),
        Some(Source::Both) | None => {
            let mut both = survivor.to_vec();
            for entry in duplicate {
                if both.iter().all(|known| !is_same(known, entry)) {
                    both.push(entry.clone());
                }
            }
            both
        }
    }
}

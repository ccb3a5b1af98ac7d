//! A patient as clients send them.
//!
//! The flat fields `name`, `email`, `address` and `dateOfBirth` are those of the first clients.
//! `names`, `emails`, `addresses` and `birthDate` say the same and more. A request may name either
//! or both: what a client has read, edited in one place and sent back means the edit.

use api::{ClinicTimeZone, InputErrors, Problem, ReadOnly, latest_day};
use chrono::{DateTime, NaiveDate, Utc};
use fields::{EmailAddress, Line, Lines};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    email_rule::EmailRule,
    patient::{InvalidField, Patient, born_before_registered, must_fit_on_a_page},
    record::{
        Address, AddressInput, BirthDate, BirthDateInput, Contact, ContactInput, Email, EmailInput,
        Given, Identifier, IdentifierInput, MOST, Name, NameInput, NameUse, Phone, PhoneInput,
        Reader, Sex,
    },
    search::terms,
};

/// A patient as a client sends them. No field is always required, because most facts can be given in two
/// forms. The read-only fields of a patient are accepted and ignored; any other field is rejected.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "name": "Milo Feil",
    "email": "milo.feil@example.com",
    "address": "422 Farrell Path Unit 69, Somerville, Massachusetts 02143",
    "dateOfBirth": "1983-11-14",
    "registeredDate": "2024-01-10"
}))]
pub struct PatientInput {
    /// Full name, at most 100 characters: the text of the official name. Required unless `names` has
    /// one.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100, pattern = r"\S")]
    name: Given<String>,
    /// E-mail address: the first of `emails`. Unless the clinic lets families share a mailbox, no
    /// two patients have the same, regardless of case. The part before the @ is ASCII; an
    /// internationalized domain is returned as it is stored, in Punycode (`xn--…`). Required, if
    /// the request has only the five flat fields and the clinic does not let families share a
    /// mailbox.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Email, max_length = 254)]
    email: Given<String>,
    /// Postal address, at most 300 characters: the text of the first of `addresses`. Required like
    /// the e-mail address.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 300, pattern = r"\S")]
    address: Given<String>,
    /// Date of birth, `YYYY-MM-DD`: the first day on which the patient can have been born. Required
    /// unless `birthDate` is given.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    date_of_birth: Given<String>,
    /// When the clinic registered the patient, `YYYY-MM-DD`. If it is missing, it is today on
    /// creation and unchanged on update.
    #[schema(format = Date)]
    registered_date: Option<String>,
    /// All names, at most 20: exactly one of them official. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<NameInput>>, max_items = 20)]
    names: Given<Vec<NameInput>>,
    /// Numbers that others have given the patient, at most 20. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<IdentifierInput>>, max_items = 20)]
    identifiers: Given<Vec<IdentifierInput>>,
    /// Telephone numbers, at most 20. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<PhoneInput>>, max_items = 20)]
    phones: Given<Vec<PhoneInput>>,
    /// E-mail addresses, at most 20. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<EmailInput>>, max_items = 20)]
    emails: Given<Vec<EmailInput>>,
    /// Postal addresses, at most 20. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<AddressInput>>, max_items = 20)]
    addresses: Given<Vec<AddressInput>>,
    /// The birth date, as far as it is known.
    #[serde(default)]
    #[schema(value_type = Option<BirthDateInput>)]
    birth_date: Given<BirthDateInput>,
    /// The sex on record. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Sex>)]
    sex: Given<Sex>,
    /// How the patient describes their gender, at most 100 characters. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 100)]
    gender_identity: Given<String>,
    /// The language to speak with the patient: a tag such as `de` or `pt-BR` (BCP 47). Missing: as
    /// before.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 35, pattern = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
    language: Given<String>,
    /// Whether the patient has died. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    deceased: Given<bool>,
    /// When the patient died, `YYYY-MM-DD`. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = Date)]
    deceased_date: Given<String>,
    /// People to turn to about the patient, at most 20. Missing: as before.
    #[serde(default)]
    #[schema(value_type = Option<Vec<ContactInput>>, max_items = 20)]
    contacts: Given<Vec<ContactInput>>,
    #[serde(default, rename = "id")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _id: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "recordNumber")]
    #[schema(read_only, value_type = Option<String>)]
    _record_number: ReadOnly,
    #[serde(default, rename = "restricted")]
    #[schema(read_only, value_type = Option<bool>)]
    _restricted: ReadOnly,
    #[serde(default, rename = "active")]
    #[schema(read_only, value_type = Option<bool>)]
    _active: ReadOnly,
    #[serde(default, rename = "mergedInto")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _merged_into: ReadOnly,
    #[serde(default, rename = "deletedAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _deleted_at: ReadOnly,
    #[serde(default, rename = "createdAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _created_at: ReadOnly,
    #[serde(default, rename = "updatedAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _updated_at: ReadOnly,
}

/// Everything that a client has said, each part valid by itself. What it makes of a patient depends
/// on how they are now: see [`Change::of`].
#[derive(Clone, Default)]
pub struct Change {
    name: Given<String>,
    names: Option<Vec<Name>>,
    email: Given<String>,
    emails: Option<Vec<Email>>,
    address: Given<String>,
    addresses: Option<Vec<Address>>,
    date_of_birth: Given<NaiveDate>,
    birth_date: Option<BirthDate>,
    registered_date: Option<NaiveDate>,
    identifiers: Option<Vec<Identifier>>,
    phones: Option<Vec<Phone>>,
    contacts: Option<Vec<Contact>>,
    sex: Given<Sex>,
    gender_identity: Given<String>,
    language: Given<String>,
    deceased: Given<bool>,
    deceased_date: Given<NaiveDate>,
}

/// What a client decides of a patient.
#[derive(Clone, PartialEq, Eq)]
pub struct Details {
    /// The official name first; there is exactly one.
    pub names: Vec<Name>,
    /// Sorted by nothing: in the client's order.
    pub identifiers: Vec<Identifier>,
    /// In the order of preference.
    pub phones: Vec<Phone>,
    /// In the order of preference.
    pub emails: Vec<Email>,
    /// In the order of preference.
    pub addresses: Vec<Address>,
    /// As far as it is known.
    pub birth_date: BirthDate,
    /// The sex on record.
    pub sex: Option<Sex>,
    /// In the patient's words.
    pub gender_identity: Option<String>,
    /// A BCP 47 tag.
    pub language: Option<String>,
    /// Whether they have died.
    pub deceased: bool,
    /// When.
    pub deceased_date: Option<NaiveDate>,
    /// People to turn to.
    pub contacts: Vec<Contact>,
    /// When the clinic registered them, if the client gave it.
    pub registered_date: Option<NaiveDate>,
}

impl PatientInput {
    /// Whether it has no field that the first clients did not know.
    const fn is_flat(&self) -> bool {
        !(self.names.is_given()
            || self.identifiers.is_given()
            || self.phones.is_given()
            || self.emails.is_given()
            || self.addresses.is_given()
            || self.birth_date.is_given()
            || self.sex.is_given()
            || self.gender_identity.is_given()
            || self.language.is_given()
            || self.deceased.is_given()
            || self.deceased_date.is_given()
            || self.contacts.is_given())
    }

    /// Whether the first mailbox or address has to be there. A form that sends back what it has
    /// read, with the field emptied, has forgotten it: only an empty list says that there is none.
    fn reachable_by<T>(&self, list: &Given<Vec<T>>, rule: EmailRule) -> Presence {
        let is_emptied = match list {
            Given::Missing => false,
            Given::Empty => true,
            Given::Value(entries) => entries.is_empty(),
        };
        match rule {
            EmailRule::Shared => Presence::Optional,
            EmailRule::Unique if is_emptied => Presence::Optional,
            EmailRule::Unique if self.is_flat() => Presence::Required,
            EmailRule::Unique => Presence::NeverBlank,
        }
    }

    /// The flat fields, and nothing else.
    fn flat(
        &self,
        now: DateTime<Utc>,
        clinic: ClinicTimeZone,
        rule: EmailRule,
        reader: &mut Reader<'_>,
    ) -> Option<Change> {
        let presence = if self.names.is_given() {
            Presence::NeverBlank
        } else {
            Presence::Required
        };
        let name = flat(
            self.name.clone(),
            presence,
            InvalidField::Required("Name"),
            |text| {
                let line = Line::parse(text, &(1..=100));
                let line = line.map_err(|error| InvalidField::Text("Name", error))?;
                Ok(line.as_str().to_owned())
            },
        );
        let name = reader.member("name", name);
        let email = flat(
            self.email.clone(),
            self.reachable_by(&self.emails, rule),
            InvalidField::Required("Email"),
            |text| Ok(EmailAddress::parse(text)?.as_written().to_owned()),
        );
        let email = reader.member("email", email);
        let address = InvalidField::Required("Address");
        let presence = self.reachable_by(&self.addresses, rule);
        let address = flat(self.address.clone(), presence, address, |text| {
            let lines = Lines::parse(text, &(1..=300));
            let lines = lines.map_err(|error| InvalidField::Text("Address", error))?;
            Ok(lines.as_str().to_owned())
        });
        let address = reader.member("address", address);
        let born = InvalidField::Required("Date of birth");
        let presence = if self.birth_date.is_given() {
            Presence::Optional
        } else {
            Presence::Required
        };
        let born = flat(self.date_of_birth.clone(), presence, born, |text| {
            // A newborn may come from where it is already tomorrow.
            past_date("Date of birth", text, latest_day(now))
        });
        let date_of_birth = reader.member("dateOfBirth", born);
        let registered_date = reader.member(
            "registeredDate",
            self.registered_date
                .as_deref()
                .map(|date| past_date("Registered date", date, clinic.day(now)))
                .transpose(),
        );
        Some(Change {
            name: name?,
            email: email?,
            address: address?,
            date_of_birth: date_of_birth?,
            registered_date: registered_date?,
            ..Change::default()
        })
    }

    /// The validated parts, as of this moment in this clinic.
    ///
    /// # Errors
    /// 400, with everything that is wrong.
    pub fn parse(
        self,
        now: DateTime<Utc>,
        clinic: ClinicTimeZone,
        rule: EmailRule,
    ) -> Result<Change, Problem> {
        let mut errors = InputErrors::default();
        let mut reader = Reader::new(&mut errors, "");
        let flat = self.flat(now, clinic, rule, &mut reader);
        let names = entries(self.names)
            .map(|names| reader.list("names", "Names", names, MOST, NameInput::parse));
        let names = names.and_then(|names| official_first(names, &mut reader));
        let emails = entries(self.emails).map(|emails| {
            reader.list(
                "emails",
                "E-mail addresses",
                emails,
                MOST,
                EmailInput::parse,
            )
        });
        let addresses = entries(self.addresses)
            .map(|all| reader.list("addresses", "Addresses", all, MOST, AddressInput::parse));
        let identifiers = entries(self.identifiers)
            .map(|all| {
                reader.list(
                    "identifiers",
                    "Identifiers",
                    all,
                    MOST,
                    IdentifierInput::parse,
                )
            })
            .inspect(|all| must_differ(all, &mut reader));
        let phones = entries(self.phones)
            .map(|all| reader.list("phones", "Phones", all, MOST, PhoneInput::parse));
        let contacts = entries(self.contacts)
            .map(|all| reader.list("contacts", "Contacts", all, MOST, ContactInput::parse));
        let birth_date = self.birth_date.value().map(|date| date.parse(now));
        let birth_date = reader
            .member("birthDate.value", birth_date.transpose())
            .flatten();
        let gender_identity = text(self.gender_identity, |text| {
            reader.line("genderIdentity", "Gender identity", Some(text), 100)
        });
        let language = text(self.language, |tag| {
            let said = "Language should be a tag such as en or pt-BR";
            reader.member(
                "language",
                is_language(tag).then(|| tag.to_owned()).ok_or(said),
            )
        });
        let deceased_date = match self.deceased_date {
            Given::Value(date) if !date.trim().is_empty() => {
                let date = past_date("Date of death", &date, latest_day(now));
                let date = reader.member("deceasedDate", date);
                date.map_or(Given::Missing, Given::Value)
            }
            Given::Value(_) | Given::Empty => Given::Empty,
            Given::Missing => Given::Missing,
        };
        if self.deceased == Given::Value(false) && matches!(deceased_date, Given::Value(_)) {
            reader.refuse("deceased", "Deceased cannot be false with a date of death");
        }
        let change = flat.map(|flat| Change {
            names,
            emails,
            addresses,
            birth_date,
            identifiers,
            phones,
            contacts,
            sex: self.sex,
            gender_identity,
            language,
            deceased: self.deceased,
            deceased_date,
            ..flat
        });
        let change = change.and_then(|change| reader.all(change));
        change.ok_or_else(|| errors.into_problem())
    }
}

impl Change {
    /// What becomes of a patient, or of one who is about to be registered.
    ///
    /// # Errors
    /// 400 if two fields contradict each other, and neither is as it was before.
    pub fn of(self, before: Option<&Patient>) -> Result<Details, Problem> {
        let names = agree(
            "name",
            (self.name, self.names),
            before.map(|before| (Some(&before.name), &before.names)),
            |names| names.first().map(|name| name.text.clone()),
            |text, names| {
                let others = names.iter().filter(|name| name.r#use != NameUse::Official);
                let official = text.map(Name::plain);
                official.into_iter().chain(others.cloned()).collect()
            },
        )?;
        let emails = agree(
            "email",
            (self.email, self.emails),
            before.map(|before| (before.email.as_ref(), &before.emails)),
            |emails| emails.first().map(|email| email.address.clone()),
            |address, emails| {
                let first = address.map(|address| Email {
                    r#use: emails.first().and_then(|email| email.r#use),
                    address,
                });
                first
                    .into_iter()
                    .chain(emails.iter().skip(1).cloned())
                    .collect()
            },
        )?;
        let addresses = agree(
            "address",
            (self.address, self.addresses),
            before.map(|before| (before.address.as_ref(), &before.addresses)),
            |addresses| addresses.first().map(|address| address.text.clone()),
            |text, addresses| {
                let first = text.map(Address::plain);
                first
                    .into_iter()
                    .chain(addresses.iter().skip(1).cloned())
                    .collect()
            },
        )?;
        let birth_dates = agree(
            "dateOfBirth",
            (self.date_of_birth, self.birth_date.map(|date| vec![date])),
            before
                .map(|before| (before.date_of_birth, vec![before.birth_date.clone()]))
                .as_ref()
                .map(|(day, date)| (Some(day), date)),
            |dates| dates.first().map(BirthDate::first_day),
            |day, _| day.map(BirthDate::exact).into_iter().collect(),
        )?;
        let required =
            |field, label| Problem::invalid_field(field, InvalidField::Required(label).to_string());
        let birth_date = birth_dates.into_iter().next();
        let birth_date = birth_date.ok_or_else(|| required("dateOfBirth", "Date of birth"))?;
        let is_official = |name: &&Name| name.r#use == NameUse::Official;
        if names.iter().filter(is_official).count() != 1 {
            return Err(required("name", "Name"));
        }
        let is_new = before.is_none_or(|before| before.names != names);
        if is_new && !terms::can_be_found_by(&names) {
            let said = "Names have too many words for a search to find them";
            return Err(Problem::invalid_field("names", said));
        }
        let (deceased, deceased_date) =
            death(&self.deceased, self.deceased_date, before, &birth_date)?;
        let registered = self
            .registered_date
            .or(before.map(|before| before.registered_date));
        if let Some(registered) = registered {
            born_before_registered(birth_date.first_day(), registered)?;
        }
        Details {
            names,
            identifiers: self
                .identifiers
                .or(before.map(|before| before.identifiers.clone()))
                .unwrap_or_default(),
            phones: self
                .phones
                .or(before.map(|before| before.phones.clone()))
                .unwrap_or_default(),
            emails,
            addresses,
            birth_date,
            sex: self.sex.or(before.and_then(|before| before.sex)),
            gender_identity: self
                .gender_identity
                .or(before.and_then(|before| before.gender_identity.clone())),
            language: self
                .language
                .or(before.and_then(|before| before.language.clone())),
            deceased,
            deceased_date,
            contacts: self
                .contacts
                .or(before.map(|before| before.contacts.clone()))
                .unwrap_or_default(),
            registered_date: self.registered_date,
        }
        .bounded()
    }
}

impl Details {
    fn bounded(self) -> Result<Self, Problem> {
        must_fit_on_a_page(&(
            &self.names,
            &self.identifiers,
            &self.phones,
            &self.emails,
            &self.addresses,
            &self.contacts,
        ))?;
        Ok(self)
    }
}

/// Whether the patient has died, and when.
fn death(
    deceased: &Given<bool>,
    date: Given<NaiveDate>,
    before: Option<&Patient>,
    born: &BirthDate,
) -> Result<(bool, Option<NaiveDate>), Problem> {
    let date = date.or(before.and_then(|before| before.deceased_date));
    let deceased = match deceased {
        Given::Value(deceased) => *deceased,
        Given::Empty => false,
        Given::Missing => date.is_some() || before.is_some_and(|before| before.deceased),
    };
    let date = date.filter(|_| deceased);
    if date.is_some_and(|date| date < born.first_day()) {
        return Err(Problem::invalid_field(
            "deceasedDate",
            "Date of death cannot be before the date of birth",
        ));
    }
    Ok((deceased, date))
}

/// A flat field and the list that says the same: which of them a client means. What differs from
/// what was there before is an edit.
fn agree<F: PartialEq + Clone, R: PartialEq + Clone>(
    field: &'static str,
    (flat, rich): (Given<F>, Option<Vec<R>>),
    before: Option<(Option<&F>, &Vec<R>)>,
    flat_of: impl Fn(&[R]) -> Option<F>,
    with: impl Fn(Option<F>, &[R]) -> Vec<R>,
) -> Result<Vec<R>, Problem> {
    let flat = match flat {
        Given::Missing => None,
        Given::Empty => Some(None),
        Given::Value(value) => Some(Some(value)),
    };
    let unchanged = before.map_or(&[][..], |(_, rich)| rich);
    let was = before.and_then(|(flat, _)| flat.cloned());
    Ok(match (flat, rich) {
        (None, None) => unchanged.to_vec(),
        (None, Some(rich)) => rich,
        (Some(flat), None) if flat == was => unchanged.to_vec(),
        (Some(flat), None) => with(flat, unchanged),
        (Some(flat), Some(rich)) if flat == flat_of(&rich) || flat == was => rich,
        (Some(flat), Some(rich)) if before.is_some() && rich == unchanged => with(flat, unchanged),
        (Some(_), Some(_)) => {
            let said = "Contradicts the list of the same: send one of them, or the same in both";
            return Err(Problem::invalid_field(field, said));
        }
    })
}

/// Whether a flat field has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It has to be.
    Required,
    /// It may be missing, but whoever sends it says something.
    NeverBlank,
    /// It may be missing, null or blank.
    Optional,
}

/// A flat field: blank is as good as null.
fn flat<T>(
    given: Given<String>,
    presence: Presence,
    missing: InvalidField,
    parse: impl Fn(&str) -> Result<T, InvalidField>,
) -> Result<Given<T>, InvalidField> {
    match given {
        Given::Value(text) if !text.trim().is_empty() => parse(&text).map(Given::Value),
        Given::Missing if presence != Presence::Required => Ok(Given::Missing),
        Given::Value(_) | Given::Empty if presence == Presence::Optional => Ok(Given::Empty),
        Given::Value(_) | Given::Missing | Given::Empty => Err(missing),
    }
}

fn text(given: Given<String>, parse: impl FnOnce(&str) -> Option<String>) -> Given<String> {
    match given {
        Given::Missing => Given::Missing,
        Given::Value(text) if !text.trim().is_empty() => {
            parse(&text).map_or(Given::Empty, Given::Value)
        }
        Given::Value(_) | Given::Empty => Given::Empty,
    }
}

fn entries<T>(given: Given<Vec<T>>) -> Option<Vec<T>> {
    match given {
        Given::Missing => None,
        Given::Empty => Some(Vec::new()),
        Given::Value(entries) => Some(entries),
    }
}

fn official_first(mut names: Vec<Name>, reader: &mut Reader<'_>) -> Option<Vec<Name>> {
    let is_other = |name: &Name| name.r#use != NameUse::Official;
    if names.iter().filter(|name| !is_other(name)).count() != 1 {
        reader.refuse("names", "Names must have exactly one that is OFFICIAL");
        return None;
    }
    names.sort_by_key(is_other);
    Some(names)
}

fn must_differ(identifiers: &[Identifier], reader: &mut Reader<'_>) {
    let mut sorted: Vec<_> = identifiers.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        reader.refuse("identifiers", "Identifiers cannot have the same one twice");
    }
}

/// BCP 47, without what nobody says of a person: extensions and private use.
fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_code = |part: &str, most: usize| {
        (2..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let language = parts.next().unwrap_or_default();
    tag.len() <= 35
        && is_code(language, 3)
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| is_code(part, 8))
}

fn past_date(
    field: &'static str,
    text: &str,
    latest: NaiveDate,
) -> Result<NaiveDate, InvalidField> {
    let date = api::day(text).map_err(|_| InvalidField::Date(field))?;
    crate::record::past(field, date, latest)
}

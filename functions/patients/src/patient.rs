//! A patient as clients get them, and what is said when one cannot be had.

use std::fmt;

use api::{EntityTag, Problem, ProblemType};
use chrono::{DateTime, NaiveDate, Utc};
use fields::{InvalidEmailAddress, InvalidText};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::record::{Address, BirthDate, Contact, Email, Identifier, Name, Phone, Sex};

/// What is wrong with a field, in terms that clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// It is missing.
    #[error("{0} is required")]
    Required(&'static str),
    /// The text is invalid.
    #[error("{0} {1}")]
    Text(&'static str, InvalidText),
    /// It is not an e-mail address that we can deliver to.
    #[error(transparent)]
    Email(#[from] InvalidEmailAddress),
    /// It is not a date.
    #[error("{0} should be a date in the form YYYY-MM-DD")]
    Date(&'static str),
    /// It is neither a date nor a part of one.
    #[error("Date of birth should be YYYY-MM-DD, YYYY-MM or YYYY")]
    BirthDate,
    /// The date is in the future.
    #[error("{0} cannot be in the future")]
    Future(&'static str),
    /// The date is before anybody alive was born.
    #[error("{0} cannot be before 1900")]
    Past(&'static str),
}

/// Checks that nobody is registered before they were born.
///
/// # Errors
/// 400 otherwise.
pub(crate) fn born_before_registered(
    born: NaiveDate,
    registered: NaiveDate,
) -> Result<(), Problem> {
    if registered < born {
        return Err(Problem::invalid_field(
            "registeredDate",
            "Registered date cannot be before the date of birth",
        ));
    }
    Ok(())
}

/// A patient as clients get them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Patient", as = Patient, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "recordNumber": "100042",
    "name": "Milo Feil",
    "email": "milo.feil@example.com",
    "address": "422 Farrell Path Unit 69\nSomerville MA 02143",
    "dateOfBirth": "1983-11-14",
    "registeredDate": "2024-01-10",
    "names": [
        { "use": "OFFICIAL", "text": "Milo Feil", "family": "Feil", "given": ["Milo"],
          "prefix": null, "suffix": null, "from": "2012-06-01", "to": null },
        { "use": "FORMER", "text": "Milo Hansen", "family": "Hansen", "given": ["Milo"],
          "prefix": null, "suffix": null, "from": null, "to": "2012-05-31" }
    ],
    "identifiers": [{ "system": "https://insurance.example/members", "value": "M-4711" }],
    "phones": [{ "use": "MOBILE", "number": "+44 20 7946 0958", "e164": "+442079460958" }],
    "emails": [{ "use": "HOME", "address": "milo.feil@example.com" }],
    "addresses": [{
        "use": "HOME", "text": "422 Farrell Path Unit 69\nSomerville MA 02143",
        "lines": ["422 Farrell Path Unit 69"], "city": "Somerville", "state": "MA",
        "postalCode": "02143", "country": "US", "from": null, "to": null
    }],
    "birthDate": { "value": "1983-11-14", "precision": "DAY", "estimated": false },
    "sex": "MALE",
    "genderIdentity": null,
    "language": "en",
    "deceased": false,
    "deceasedDate": null,
    "contacts": [{
        "name": "Ada Feil", "relationship": "mother", "phone": "+44 20 7946 0959", "email": null
    }],
    "restricted": false,
    "active": true,
    "mergedInto": null,
    "deletedAt": null,
    "createdAt": "2024-01-10T09:30:00.123456Z",
    "updatedAt": "2024-01-10T09:30:00.123456Z"
}))]
pub struct Patient {
    /// Identifies the patient; never changes.
    pub id: Uuid,
    /// 1 on creation, incremented with every change; the number in the `ETag`.
    pub version: i64,
    /// The number of the patient's record in this clinic; never changes, and is never given again.
    pub record_number: String,
    /// Full name: that of the official name.
    pub name: String,
    /// E-mail address: the first one. Null if there is none.
    #[schema(required)]
    pub email: Option<String>,
    /// Postal address: the text of the first one. Null if there is none.
    #[schema(required)]
    pub address: Option<String>,
    /// Date of birth. Where only the month or the year is known, it is the first day of it:
    /// `birthDate` says how much is known.
    pub date_of_birth: NaiveDate,
    /// When the clinic registered the patient.
    pub registered_date: NaiveDate,
    /// All names: the official one first.
    pub names: Vec<Name>,
    /// Numbers that others have given the patient.
    pub identifiers: Vec<Identifier>,
    /// Telephone numbers, in the order of preference.
    pub phones: Vec<Phone>,
    /// E-mail addresses, in the order of preference.
    pub emails: Vec<Email>,
    /// Postal addresses, in the order of preference.
    pub addresses: Vec<Address>,
    /// The birth date, as far as it is known.
    pub birth_date: BirthDate,
    /// The sex on record; null if nobody has asked.
    #[schema(required)]
    pub sex: Option<Sex>,
    /// How the patient describes their gender.
    #[schema(required)]
    pub gender_identity: Option<String>,
    /// The language to speak with the patient: a tag such as `de` or `pt-BR` (BCP 47).
    #[schema(required)]
    pub language: Option<String>,
    /// Whether the patient has died.
    pub deceased: bool,
    /// When the patient died, if the day is known.
    #[schema(required)]
    pub deceased_date: Option<NaiveDate>,
    /// People to turn to about the patient.
    pub contacts: Vec<Contact>,
    /// Whether only callers who may see restricted records can see it.
    pub restricted: bool,
    /// Whether the record is in use: one that was merged into another is not.
    pub active: bool,
    /// The record that continues this one, if they were merged.
    #[schema(required)]
    pub merged_into: Option<Uuid>,
    /// When the record was deleted; null if it was not.
    #[schema(required)]
    pub deleted_at: Option<DateTime<Utc>>,
    /// When the record was created.
    pub created_at: DateTime<Utc>,
    /// When the record was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Patient {
    /// The version as `ETag`.
    #[must_use]
    pub const fn entity_tag(&self) -> EntityTag {
        EntityTag(self.version)
    }
}

/// What other services learn of the patient.
impl From<&Patient> for events::Patient {
    fn from(patient: &Patient) -> Self {
        Self {
            name: patient.name.clone(),
            email: patient.email.clone(),
            address: patient.address.clone(),
            date_of_birth: patient.date_of_birth,
            registered_date: patient.registered_date,
        }
    }
}

/// Keeps a patient's data out of logs.
impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patient")
            .field("id", &self.id)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The most bytes that the lists of a record have as JSON. A hundred records on a page, or as many
/// changes of one from this much to that, stay below the 6 MB that a function can answer with.
const MOST_BYTES: usize = 16 * 1024;

/// Rejects lists, all those of a record together, that are too long.
///
/// # Errors
/// 400.
pub(crate) fn must_fit_on_a_page(lists: &impl Serialize) -> Result<(), Problem> {
    let bytes = serde_json::to_vec(lists).map_err(Problem::internal)?.len();
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    Err(Problem::new(
        ProblemType::InvalidInput,
        "Names, identifiers, telephone numbers, e-mail addresses, addresses and contacts are too long: \
         together, they cannot exceed 16 KiB",
    ))
}

/// The 404 for a patient who does not exist.
#[must_use]
pub fn not_found() -> Problem {
    Problem::not_found("Patient not found")
}

/// The 404 for a patient who was deleted, and could be restored.
#[must_use]
pub fn deleted() -> Problem {
    Problem::new(ProblemType::Deleted, "Patient not found")
}

/// The 409 for an e-mail address that another patient has.
#[must_use]
pub fn email_taken() -> Problem {
    Problem::conflict("email", "Email address already exists")
}

/// The unique index that decides it.
pub const EMAIL_UNIQUE: &str = "patient_email_unique";

/// The 409 for a number that another patient has in the same system.
#[must_use]
pub fn identifier_taken() -> Problem {
    Problem::conflict("identifiers", "Another patient has this identifier")
}

/// The unique index that decides it.
pub const IDENTIFIER_UNIQUE: &str = "patient_identifier_unique";

/// The 409 for a change to a record that was merged into another.
#[must_use]
pub fn merged() -> Problem {
    Problem::new(
        ProblemType::Conflict,
        "This record was merged into another one: change that one",
    )
}

//! A patient: what clients send, the validated types, and what clients get.

use std::fmt;

use api::{ClinicTimeZone, EntityTag, InputErrors, Problem, ReadOnly, latest_day};
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use fields::{EmailAddress, InvalidEmailAddress, InvalidText, Line, Lines};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Nobody alive was born earlier.
const FIRST_YEAR: i32 = 1900;

/// A patient as a client sends them. Every field may be missing or invalid: [`parse`](Self::parse)
/// checks them. The read-only fields of a patient are accepted and ignored; any other field is
/// rejected.
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
    /// Full name, at most 100 characters.
    #[schema(required, nullable = false, max_length = 100, pattern = r"\S")]
    name: Option<String>,
    /// E-mail address. No two patients have the same, regardless of case. The part before the @ is
    /// ASCII; an internationalized domain is returned as it is stored, in Punycode (`xn--…`).
    #[schema(required, nullable = false, format = Email, max_length = 254)]
    email: Option<String>,
    /// Postal address, at most 300 characters.
    #[schema(required, nullable = false, max_length = 300, pattern = r"\S")]
    address: Option<String>,
    /// Date of birth, `YYYY-MM-DD`.
    #[schema(required, nullable = false, format = Date)]
    date_of_birth: Option<String>,
    /// When the clinic registered the patient, `YYYY-MM-DD`. If it is missing, it is today on
    /// creation and unchanged on update.
    #[schema(format = Date)]
    registered_date: Option<String>,
    #[serde(default, rename = "id")]
    #[schema(read_only, value_type = Option<Uuid>)]
    _id: ReadOnly,
    #[serde(default, rename = "version")]
    #[schema(read_only, value_type = Option<i64>)]
    _version: ReadOnly,
    #[serde(default, rename = "restricted")]
    #[schema(read_only, value_type = Option<bool>)]
    _restricted: ReadOnly,
    #[serde(default, rename = "createdAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _created_at: ReadOnly,
    #[serde(default, rename = "updatedAt")]
    #[schema(read_only, value_type = Option<DateTime<Utc>>)]
    _updated_at: ReadOnly,
}

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
    /// The date is in the future.
    #[error("{0} cannot be in the future")]
    Future(&'static str),
    /// The date is before anybody alive was born.
    #[error("{0} cannot be before 1900")]
    Past(&'static str),
}

/// A patient's validated data.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientDetails {
    /// Full name.
    pub name: PatientName,
    /// E-mail address.
    pub email: EmailAddress,
    /// Postal address.
    pub address: PostalAddress,
    /// Date of birth.
    pub date_of_birth: NaiveDate,
    /// When the clinic registered them, if the client gave it.
    pub registered_date: Option<NaiveDate>,
}

impl PatientInput {
    /// The validated data, as of this moment in this clinic.
    ///
    /// # Errors
    /// 400, with everything that is wrong.
    pub fn parse(
        self,
        now: DateTime<Utc>,
        clinic: ClinicTimeZone,
    ) -> Result<PatientDetails, Problem> {
        let mut errors = InputErrors::default();
        let name = errors.field("name", PatientName::parse(self.name));
        let email = errors.field("email", email(self.email));
        let address = errors.field("address", PostalAddress::parse(self.address));
        let date_of_birth = errors.field(
            "dateOfBirth",
            self.date_of_birth
                .ok_or(InvalidField::Required("Date of birth"))
                // A newborn may come from where it is already tomorrow.
                .and_then(|date| past_date("Date of birth", &date, latest_day(now))),
        );
        let registered_date = errors.field(
            "registeredDate",
            self.registered_date
                .map(|date| past_date("Registered date", &date, clinic.day(now)))
                .transpose(),
        );
        match (name, email, address, date_of_birth, registered_date) {
            (
                Some(name),
                Some(email),
                Some(address),
                Some(date_of_birth),
                Some(registered_date),
            ) => {
                if let Some(registered_date) = registered_date {
                    born_before_registered(date_of_birth, registered_date)?;
                }
                Ok(PatientDetails {
                    name,
                    email,
                    address,
                    date_of_birth,
                    registered_date,
                })
            }
            _ => Err(errors.into_problem()),
        }
    }
}

/// A full name: 1 to 100 characters on one line.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientName(Line);

impl PatientName {
    fn parse(name: Option<String>) -> Result<Self, InvalidField> {
        Line::parse(&name.unwrap_or_default(), &(1..=100))
            .map(Self)
            .map_err(|error| InvalidField::Text("Name", error))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A postal address: 1 to 300 characters, possibly on several lines.
#[derive(Clone, PartialEq, Eq)]
pub struct PostalAddress(Lines);

impl PostalAddress {
    fn parse(address: Option<String>) -> Result<Self, InvalidField> {
        Lines::parse(&address.unwrap_or_default(), &(1..=300))
            .map(Self)
            .map_err(|error| InvalidField::Text("Address", error))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

fn email(email: Option<String>) -> Result<EmailAddress, InvalidField> {
    Ok(EmailAddress::parse(&email.unwrap_or_default())?)
}

fn past_date(
    field: &'static str,
    text: &str,
    latest: NaiveDate,
) -> Result<NaiveDate, InvalidField> {
    let date = api::day(text).map_err(|_| InvalidField::Date(field))?;
    if date > latest {
        return Err(InvalidField::Future(field));
    }
    if date.year() < FIRST_YEAR {
        return Err(InvalidField::Past(field));
    }
    Ok(date)
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
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(title = "Patient", as = Patient, example = json!({
    "id": "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
    "version": 1,
    "name": "Milo Feil",
    "email": "milo.feil@example.com",
    "address": "422 Farrell Path Unit 69, Somerville, Massachusetts 02143",
    "dateOfBirth": "1983-11-14",
    "registeredDate": "2024-01-10",
    "restricted": false,
    "createdAt": "2024-01-10T09:30:00.123456Z",
    "updatedAt": "2024-01-10T09:30:00.123456Z"
}))]
pub struct Patient {
    /// Identifies the patient; never changes.
    pub id: Uuid,
    /// 1 on creation, incremented with every change; the number in the `ETag`.
    pub version: i64,
    /// Full name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Postal address.
    pub address: String,
    /// Date of birth.
    pub date_of_birth: NaiveDate,
    /// When the clinic registered the patient.
    pub registered_date: NaiveDate,
    /// Whether only callers who may see restricted records can see it.
    pub restricted: bool,
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

/// The 404 for a patient who does not exist.
#[must_use]
pub fn not_found() -> Problem {
    Problem::not_found("Patient not found")
}

/// The 409 for an e-mail address that another patient has.
#[must_use]
pub fn email_taken() -> Problem {
    Problem::conflict("email", "Email address already exists")
}

/// The unique index that decides it.
pub const EMAIL_UNIQUE: &str = "patient_email_unique";

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> PatientInput {
        PatientInput {
            name: Some("Zoë Ωmega".to_owned()),
            email: Some("zoe@clinic.example".to_owned()),
            address: Some("1 Main St\nBoston".to_owned()),
            date_of_birth: Some("2000-02-29".to_owned()),
            ..PatientInput::default()
        }
    }

    #[test]
    fn valid_fields_are_kept_unchanged() {
        let details = valid()
            .parse(Utc::now(), ClinicTimeZone::UTC)
            .unwrap_or_else(|_| panic!("is valid"));
        assert_eq!(details.name.as_str(), "Zoë Ωmega");
        assert_eq!(details.address.as_str(), "1 Main St\nBoston");
        assert_eq!(details.registered_date, None);
    }

    #[test]
    fn a_text_field_says_what_is_wrong_with_it() {
        let refusal = |name: &str| {
            PatientName::parse(Some(name.to_owned()))
                .err()
                .unwrap()
                .to_string()
        };
        assert_eq!(refusal(" \u{3000} "), "Name is required");
        assert_eq!(
            refusal(&"é".repeat(101)),
            "Name cannot exceed 100 characters"
        );
        assert_eq!(refusal("a\0b"), "Name cannot contain control characters");
        assert!(PatientName::parse(Some("é".repeat(100))).is_ok());
        assert_eq!(
            PatientName::parse(None).err(),
            Some(InvalidField::Text("Name", InvalidText::Missing))
        );
    }

    #[test]
    fn an_invalid_email_address_is_rejected_with_the_reason() {
        let refusal = |text: Option<&str>| {
            let refused = email(text.map(ToOwned::to_owned));
            refused.err().unwrap().to_string()
        };
        assert_eq!(refusal(None), "Email is required");
        assert_eq!(refusal(Some(" ")), "Email is required");
        assert_eq!(refusal(Some("nobody")), "Email should be valid");
        let long = format!("{}@clinic.example", "x".repeat(254));
        assert_eq!(refusal(Some(&long)), "Email cannot exceed 254 characters");
        assert!(refusal(Some("用户@例子.广告")).contains("cannot deliver"));
    }

    #[test]
    fn a_date_has_exactly_one_format_and_lies_between_1900_and_today() {
        let today = Utc::now().date_naive();
        for text in [
            "",
            "29.02.2000",
            "2001-02-29",
            "2000-2-29",
            "20000-01-01",
            "2000-01-01T00:00:00Z",
            "٢٠٠٠-٠١-٠١",
        ] {
            assert_eq!(
                past_date("Date of birth", text, today),
                Err(InvalidField::Date("Date of birth")),
                "{text}"
            );
        }
        assert_eq!(
            past_date("Date of birth", "2999-01-01", today),
            Err(InvalidField::Future("Date of birth"))
        );
        assert_eq!(
            past_date("Date of birth", "1899-12-31", today),
            Err(InvalidField::Past("Date of birth"))
        );
        assert!(past_date("Date of birth", "2000-02-29", today).is_ok());
    }
}

//! A patient as clients send and receive them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A patient as sent by a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPatient {
    /// Full name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Postal address.
    pub address: String,
    /// `YYYY-MM-DD`.
    pub date_of_birth: String,
    /// `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_date: Option<String>,
}

impl NewPatient {
    /// A patient that no other test uses, with unique data.
    #[must_use]
    pub fn unique() -> Self {
        let unique = Uuid::new_v4().simple();
        Self {
            name: format!("Zoë {unique}"),
            email: format!("zoe.{unique}@clinic.example"),
            address: format!("{unique} Main Street, Boston"),
            date_of_birth: "1987-03-12".to_owned(),
            registered_date: None,
        }
    }
}

/// A patient as returned by the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patient {
    /// The patient's id.
    pub id: Uuid,
    /// Incremented with every change.
    pub version: i64,
    /// Full name.
    pub name: String,
    /// E-mail address.
    pub email: String,
    /// Postal address.
    pub address: String,
    /// Date of birth.
    pub date_of_birth: NaiveDate,
    /// When the clinic registered them.
    pub registered_date: NaiveDate,
    /// The number of the record.
    pub record_number: String,
    /// All names.
    pub names: Vec<Value>,
    /// Numbers that others have given the patient.
    pub identifiers: Vec<Value>,
    /// Telephone numbers.
    pub phones: Vec<Value>,
    /// E-mail addresses.
    pub emails: Vec<Value>,
    /// Postal addresses.
    pub addresses: Vec<Value>,
    /// The birth date, as far as it is known.
    pub birth_date: Value,
    /// The sex on record.
    pub sex: Option<String>,
    /// In the patient's words.
    pub gender_identity: Option<String>,
    /// A BCP 47 tag.
    pub language: Option<String>,
    /// Whether they have died.
    pub deceased: bool,
    /// When.
    pub deceased_date: Option<NaiveDate>,
    /// People to turn to.
    pub contacts: Vec<Value>,
    /// Whether only few may see the record.
    pub restricted: bool,
    /// Whether the record was not merged into another.
    pub active: bool,
    /// The record that continues this one.
    pub merged_into: Option<Uuid>,
    /// When the record was deleted.
    pub deleted_at: Option<DateTime<Utc>>,
    /// When the record was created.
    pub created_at: DateTime<Utc>,
    /// When the record was last changed.
    pub updated_at: DateTime<Utc>,
}

impl Patient {
    /// The patient's path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/patients/{}", self.id)
    }

    /// The version, in the form for `If-Match`.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

//! A patient as clients send and get them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a client sends.
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
    /// Somebody whom no other test knows, and whose data is found nowhere else.
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

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patient {
    /// Names the patient.
    pub id: Uuid,
    /// One more with every change.
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
    /// Whether the record is restricted to few.
    pub restricted: bool,
    /// When the record was made.
    pub created_at: DateTime<Utc>,
    /// When the record was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Patient {
    /// Where the patient is.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/api/patients/{}", self.id)
    }

    /// The version, as `If-Match` wants it.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

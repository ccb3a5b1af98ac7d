//! People to turn to about a patient.

use fields::EmailAddress;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reader;

/// Somebody to turn to about the patient: a parent, a partner, a carer
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientContact, example = json!({
    "name": "Ada Feil", "relationship": "mother", "phone": "+44 20 7946 0959", "email": null
}))]
pub struct Contact {
    /// Their name.
    pub name: String,
    /// What they are to the patient.
    #[schema(required)]
    pub relationship: Option<String>,
    /// Their telephone number, as it was written down.
    #[schema(required)]
    pub phone: Option<String>,
    /// Their e-mail address.
    #[schema(required)]
    pub email: Option<String>,
}

/// A contact as a client sends it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientContactInput)]
pub struct ContactInput {
    /// Their name, at most 100 characters.
    #[schema(max_length = 100, pattern = r"\S")]
    name: String,
    /// What they are to the patient, at most 50 characters.
    #[serde(default)]
    #[schema(max_length = 50)]
    relationship: Option<String>,
    /// Their telephone number, at most 40 characters.
    #[serde(default)]
    #[schema(max_length = 40)]
    phone: Option<String>,
    /// Their e-mail address.
    #[serde(default)]
    #[schema(format = Email, max_length = 254)]
    email: Option<String>,
}

impl ContactInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Contact> {
        let name = reader.required_line("name", "Name", Some(&self.name), 100);
        let relationship = self.relationship.as_deref();
        let relationship = reader.line("relationship", "Relationship", relationship, 50);
        let phone = reader.line("phone", "Phone", self.phone.as_deref(), 40);
        let email = self.email.filter(|email| !email.trim().is_empty());
        let email = email.and_then(|email| {
            let email = reader.member("email", EmailAddress::parse(&email));
            email.map(|email| email.as_written().to_owned())
        });
        reader.all(Contact {
            name: name.unwrap_or_default(),
            relationship,
            phone,
            email,
        })
    }
}

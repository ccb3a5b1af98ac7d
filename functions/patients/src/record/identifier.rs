//! Numbers that others have given a patient.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reader;

/// A number or code that a health insurance, a hospital or a country has given the patient. No two
/// patients have the same in one system
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientIdentifier, example = json!({
    "system": "https://insurance.example/members", "value": "M-4711"
}))]
pub struct Identifier {
    /// Who gave it: a URI, or a name that the clinic has agreed on.
    pub system: String,
    /// The number or code.
    pub value: String,
}

/// An identifier as a client sends it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientIdentifierInput)]
pub struct IdentifierInput {
    /// Who gave it, at most 200 characters.
    #[schema(max_length = 200, pattern = r"\S")]
    system: String,
    /// The number or code, at most 100 characters.
    #[schema(max_length = 100, pattern = r"\S")]
    value: String,
}

impl IdentifierInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Identifier> {
        let system = reader.required_line("system", "System", Some(&self.system), 200);
        let value = reader.required_line("value", "Value", Some(&self.value), 100);
        let identifier = Identifier {
            system: system.unwrap_or_default(),
            value: value.unwrap_or_default(),
        };
        reader.all(identifier)
    }
}

//! Telephone numbers of a patient.

use fields::PhoneNumber;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ContactUse, Reader};

/// A telephone number
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientPhone, example = json!({
    "use": "MOBILE", "number": "+44 20 7946 0958", "e164": "+442079460958"
}))]
pub struct Phone {
    /// Where it rings.
    #[schema(required)]
    pub r#use: Option<ContactUse>,
    /// The number as it was written down.
    pub number: String,
    /// The number in the form of E.164; null if nobody can tell which country it is of.
    #[schema(required)]
    pub e164: Option<String>,
}

/// A telephone number as a client sends it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientPhoneInput)]
pub struct PhoneInput {
    /// Where it rings.
    #[serde(default)]
    r#use: Option<ContactUse>,
    /// The number, in any form, at most 40 characters. With a plus and the country's code, it can
    /// be called from anywhere.
    #[schema(max_length = 40, pattern = "[0-9]")]
    number: String,
    #[serde(default, rename = "e164")]
    #[schema(read_only, value_type = Option<String>)]
    _e164: api::ReadOnly,
}

impl PhoneInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Phone> {
        let number = reader.required_line("number", "Phone", Some(&self.number), 40);
        let number = number.unwrap_or_default();
        let e164 = PhoneNumber::parse(&number).ok();
        let digits = number.chars().filter(char::is_ascii_digit).count();
        if !number.is_empty() && e164.is_none() && !(3..=20).contains(&digits) {
            reader.refuse("number", "Phone must have 3 to 20 digits");
        }
        let e164 = e164.map(|number| number.as_str().to_owned());
        let r#use = self.r#use;
        reader.all(Phone {
            r#use,
            number,
            e164,
        })
    }
}

//! Postal addresses of a patient.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ContactUse, Reader};

/// The most characters of an address.
const LONGEST: usize = 300;

/// A postal address
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientAddress, example = json!({
    "use": "HOME", "text": "422 Farrell Path Unit 69\nSomerville MA 02143",
    "lines": ["422 Farrell Path Unit 69"], "city": "Somerville", "state": "MA",
    "postalCode": "02143", "country": "US", "from": "2020-01-01", "to": null
}))]
pub struct Address {
    /// What is there.
    #[schema(required)]
    pub r#use: Option<ContactUse>,
    /// The whole address, as it is written on a letter.
    pub text: String,
    /// Street, house, flat.
    pub lines: Vec<String>,
    /// City or village.
    #[schema(required)]
    pub city: Option<String>,
    /// State, province or county.
    #[schema(required)]
    pub state: Option<String>,
    /// Postal code.
    #[schema(required)]
    pub postal_code: Option<String>,
    /// The country: ISO 3166, two letters.
    #[schema(required)]
    pub country: Option<String>,
    /// The first day on which it was the patient's address.
    #[schema(required)]
    pub from: Option<NaiveDate>,
    /// The last day on which it was the patient's address.
    #[schema(required)]
    pub to: Option<NaiveDate>,
}

impl Address {
    /// An address of which nothing but the text is known.
    #[must_use]
    pub const fn plain(text: String) -> Self {
        Self {
            r#use: None,
            text,
            lines: Vec::new(),
            city: None,
            state: None,
            postal_code: None,
            country: None,
            from: None,
            to: None,
        }
    }
}

/// An address as a client sends it: as a text, in parts, or both.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientAddressInput)]
pub struct AddressInput {
    /// What is there.
    #[serde(default)]
    r#use: Option<ContactUse>,
    /// The whole address; if it is missing, it is put together from the parts.
    #[serde(default)]
    #[schema(max_length = 300)]
    text: Option<String>,
    /// Street, house, flat: at most 5 lines.
    #[serde(default)]
    #[schema(max_items = 5)]
    lines: Vec<String>,
    /// City or village.
    #[serde(default)]
    #[schema(max_length = 100)]
    city: Option<String>,
    /// State, province or county.
    #[serde(default)]
    #[schema(max_length = 100)]
    state: Option<String>,
    /// Postal code.
    #[serde(default)]
    #[schema(max_length = 20)]
    postal_code: Option<String>,
    /// The country: ISO 3166, two letters.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z]{2}$")]
    country: Option<String>,
    /// The first day on which it was the patient's address.
    #[serde(default)]
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day on which it was the patient's address.
    #[serde(default)]
    #[schema(format = Date)]
    to: Option<String>,
}

impl AddressInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Address> {
        let lines = reader.list("lines", "Lines", self.lines, 5, |line, mut reader| {
            let line = reader.required_line("", "Line", Some(&line), 100);
            reader.all(line)?
        });
        let city = reader.line("city", "City", self.city.as_deref(), 100);
        let state = reader.line("state", "State", self.state.as_deref(), 100);
        let postal_code = reader.line("postalCode", "Postal code", self.postal_code.as_deref(), 20);
        let country = self.country.filter(|country| !country.trim().is_empty());
        let is_code =
            |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        let country = country.and_then(|country| {
            let code = is_code(&country).then(|| country.to_ascii_uppercase());
            reader.member(
                "country",
                code.ok_or("Country should be the two letters of ISO 3166"),
            )
        });
        let (from, to) = reader.period(self.from.as_deref(), self.to.as_deref());
        let text = self.text.filter(|text| !text.trim().is_empty());
        let text = text.unwrap_or_else(|| {
            let place = city.iter().chain(&state).chain(&postal_code);
            let place = place.map(String::as_str).collect::<Vec<_>>().join(" ");
            let parts = lines.iter().chain([&place]).chain(&country);
            let parts = parts.map(String::as_str).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join("\n")
        });
        let text = reader.lines("text", "Address", Some(&text), LONGEST);
        if text.is_none() {
            reader.refuse("text", "Address is required");
        }
        let text = text.unwrap_or_default();
        reader.all(Address {
            r#use: self.r#use,
            text,
            lines,
            city,
            state,
            postal_code,
            country,
            from,
            to,
        })
    }
}

//! Names: the official one, and those that somebody had or is called by.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reader;

/// The most characters of a name.
const LONGEST: usize = 100;

/// The most given names.
const GIVEN: usize = 10;

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NameUse {
    /// The name on documents. Every patient has exactly one.
    Official,
    /// A name that the patient had, such as before a marriage. It still finds them.
    Former,
    /// What the patient is called, if that is not the official name.
    Usual,
}

/// A name
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PatientName, example = json!({
    "use": "OFFICIAL", "text": "Dr Milo Feil", "family": "Feil", "given": ["Milo"],
    "prefix": "Dr", "suffix": null, "from": null, "to": null
}))]
pub struct Name {
    /// What the name is for.
    pub r#use: NameUse,
    /// The whole name, as it is written.
    pub text: String,
    /// The family name; null if nobody has said which part of the text it is.
    #[schema(required)]
    pub family: Option<String>,
    /// The given names, in their order.
    pub given: Vec<String>,
    /// A title before the name.
    #[schema(required)]
    pub prefix: Option<String>,
    /// What follows the name.
    #[schema(required)]
    pub suffix: Option<String>,
    /// The first day on which it was the patient's name.
    #[schema(required)]
    pub from: Option<NaiveDate>,
    /// The last day on which it was the patient's name.
    #[schema(required)]
    pub to: Option<NaiveDate>,
}

impl Name {
    /// The official name of somebody of whom nothing but the text is known.
    #[must_use]
    pub fn plain(text: String) -> Self {
        Self {
            r#use: NameUse::Official,
            text,
            family: None,
            given: Vec::new(),
            prefix: None,
            suffix: None,
            from: None,
            to: None,
        }
    }
}

/// A name as a client sends it: as a text, in parts, or both.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PatientNameInput)]
pub struct NameInput {
    /// What the name is for.
    r#use: NameUse,
    /// The whole name; if it is missing, it is put together from the parts.
    #[serde(default)]
    #[schema(max_length = 100)]
    text: Option<String>,
    /// The family name.
    #[serde(default)]
    #[schema(max_length = 100)]
    family: Option<String>,
    /// The given names, at most 10.
    #[serde(default)]
    #[schema(max_items = 10)]
    given: Vec<String>,
    /// A title before the name.
    #[serde(default)]
    #[schema(max_length = 50)]
    prefix: Option<String>,
    /// What follows the name.
    #[serde(default)]
    #[schema(max_length = 50)]
    suffix: Option<String>,
    /// The first day on which it was the patient's name.
    #[serde(default)]
    #[schema(format = Date)]
    from: Option<String>,
    /// The last day on which it was the patient's name.
    #[serde(default)]
    #[schema(format = Date)]
    to: Option<String>,
}

impl NameInput {
    pub(crate) fn parse(self, mut reader: Reader<'_>) -> Option<Name> {
        let family = reader.line("family", "Family name", self.family.as_deref(), LONGEST);
        let given = reader.list(
            "given",
            "Given names",
            self.given,
            GIVEN,
            |name, mut reader| {
                let name = reader.required_line("", "Given name", Some(&name), LONGEST);
                reader.all(name)?
            },
        );
        let prefix = reader.line("prefix", "Prefix", self.prefix.as_deref(), 50);
        let suffix = reader.line("suffix", "Suffix", self.suffix.as_deref(), 50);
        let (from, to) = reader.period(self.from.as_deref(), self.to.as_deref());
        let parts = prefix.iter().chain(&given).chain(&family).chain(&suffix);
        let parts: Vec<&str> = parts.map(String::as_str).collect();
        let text = self.text.filter(|text| !text.trim().is_empty());
        let text = text.unwrap_or_else(|| parts.join(" "));
        let text = reader.required_line("text", "Name", Some(&text), LONGEST);
        let text = text.unwrap_or_default();
        reader.all(Name {
            r#use: self.r#use,
            text,
            family,
            given,
            prefix,
            suffix,
            from,
            to,
        })
    }
}

#[cfg(test)]
mod tests {
    use api::InputErrors;
    use serde_json::json;

    use super::*;

    fn parse(name: serde_json::Value) -> Option<Name> {
        let input: NameInput = serde_json::from_value(name).unwrap();
        input.parse(Reader::new(&mut InputErrors::default(), "names[0]"))
    }

    #[test]
    fn the_text_is_put_together_from_the_parts() {
        let name = json!({ "use": "OFFICIAL", "given": ["Milo", "Jan"], "family": "van der Berg", "suffix": "Jr" });
        assert_eq!(parse(name).unwrap().text, "Milo Jan van der Berg Jr");
        let name =
            json!({ "use": "OFFICIAL", "family": "Wang", "given": ["Fang"], "text": "Wang Fang" });
        assert_eq!(parse(name).unwrap().text, "Wang Fang");
    }

    #[test]
    fn a_name_says_something_and_ends_after_it_begins() {
        assert!(parse(json!({ "use": "FORMER" })).is_none());
        assert!(parse(json!({ "use": "FORMER", "given": [" "] })).is_none());
        let backwards =
            json!({ "use": "FORMER", "text": "Zoë", "from": "2020-01-02", "to": "2020-01-01" });
        assert!(parse(backwards).is_none());
    }
}

//! The language of a message.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A language by its ISO 639 code, such as `en`. Messages in a language that has no template are in
/// English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Language(String);

/// Not the code of a language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be the code of a language in two or three lower-case letters, such as en")]
pub struct InvalidLanguage;

impl Language {
    /// English, in which there are always templates.
    #[must_use]
    pub fn english() -> Self {
        Self("en".to_owned())
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0
    }
}

impl FromStr for Language {
    type Err = InvalidLanguage;

    fn from_str(text: &str) -> Result<Self, InvalidLanguage> {
        let is_code =
            matches!(text.len(), 2 | 3) && text.bytes().all(|byte| byte.is_ascii_lowercase());
        is_code
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidLanguage)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Language {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Language {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A language by its ISO 639 code"))
            .pattern(Some("^[a-z]{2,3}$"))
            .examples(["en"])
            .into()
    }
}

impl ToSchema for Language {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_code_in_lower_case() {
        for code in ["en", "de", "yue"] {
            assert_eq!(code.parse::<Language>().unwrap().code(), code);
        }
        for other in ["", "e", "EN", "en-GB", "engl", "ä", "e1"] {
            assert_eq!(other.parse::<Language>(), Err(InvalidLanguage), "{other}");
        }
    }
}

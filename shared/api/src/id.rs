//! Ids in requests.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::{Uuid, fmt::Hyphenated};

/// An id as clients write it: 36 characters with hyphens, in upper or lower case (RFC 9562, section
/// 4). The other spellings of a UUID (`urn:uuid:…`, `{…}`, 32 digits) are rejected, so that every
/// reader sees the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Id(pub Uuid);

/// Not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Must be a UUID such as 0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa")]
pub struct InvalidId;

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let id: Result<Hyphenated, _> = text.parse();
        id.map(|id| Self(id.into_uuid())).map_err(|_| InvalidId)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let text = "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa";
        let id = Id(Uuid::from_u128(0x0199_f7a2_6c1e_7c35_9b6c_0d2a_54f3_c1aa));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        for other in [
            "",
            "42",
            "0199f7a26c1e7c359b6c0d2a54f3c1aa",
            "{0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa}",
            "urn:uuid:0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa",
            "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1a",
            "0199f7a26-c1e-7c35-9b6c-0d2a54f3c1aa",
            " 0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1a",
            "0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa ",
            "٠199f7a2-6c1e-7c35-9b6c-0d2a54f3c1a",
        ] {
            assert_eq!(other.parse::<Id>(), Err(InvalidId), "{other:?}");
        }
    }

    #[test]
    fn an_id_is_a_json_string() {
        let id = Id(Uuid::from_u128(7));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{}\"", id.0));
        assert_eq!(serde_json::from_str::<Id>(&json).unwrap(), id);
    }
}

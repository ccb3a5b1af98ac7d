//! One canonical text for all JSON documents with the same meaning.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json::{BYTE_ORDER_MARK, MAX_DEPTH};

/// The JSON without white space, with its members sorted by name and its strings in one spelling.
/// Numbers stay as they are written. Anything that is not JSON, or is nested deeper than the API
/// accepts, is returned unchanged.
#[must_use]
pub fn canonical_json(body: &[u8]) -> Vec<u8> {
    let json = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut canonical = String::with_capacity(json.len());
    serde_json::from_slice(json)
        .and_then(|value| write(value, MAX_DEPTH, &mut canonical))
        .map_or_else(|_| body.to_vec(), |()| canonical.into_bytes())
}

fn write(value: &RawValue, levels: usize, text: &mut String) -> Result<(), serde_json::Error> {
    use serde::de::Error as _;
    let json = value.get();
    let below = || {
        let below = levels.checked_sub(1);
        below.ok_or_else(|| serde_json::Error::custom("too deep"))
    };
    match json.as_bytes().first() {
        Some(b'{') => {
            let below = below()?;
            let Members(mut members) = serde_json::from_str(json)?;
            // The sort is stable: members with the same name keep their order.
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            text.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::to_string(&name)?);
                text.push(':');
                write(value, below, text)?;
            }
            text.push('}');
        }
        Some(b'[') => {
            let below = below()?;
            let items: Vec<&RawValue> = serde_json::from_str(json)?;
            text.push('[');
            for (place, item) in items.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write(item, below, text)?;
            }
            text.push(']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(json)?;
            text.push_str(&serde_json::to_string(&string)?);
        }
        _ => text.push_str(json),
    }
    Ok(())
}

/// The members of an object, including duplicates.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        String::from_utf8(canonical_json(json.as_bytes())).unwrap()
    }

    #[test]
    fn member_order_white_space_and_escapes_do_not_matter() {
        let one = r#"{"b":[1,{"d":null,"c":true}],"a":"é\"\n/"}"#;
        for other in [
            one,
            "\u{feff} { \"a\" : \"\\u00e9\\u0022\\u000A\\/\",\r\n\t\"b\":[ 1 , {\"c\":true,\"d\":null} ] } \n",
        ] {
            assert_eq!(
                canonical(other),
                r#"{"a":"é\"\n/","b":[1,{"c":true,"d":null}]}"#
            );
        }
    }

    #[test]
    fn every_other_difference_matters() {
        for (one, other) in [
            ("[1]", "[1.0]"),
            ("[1e2]", "[100]"),
            ("[9007199254740993]", "[9007199254740992]"),
            ("[0.1000000000000000055]", "[0.1]"),
            ("[1,2]", "[2,1]"),
            ("[null]", "[]"),
            (r#"{"a":null}"#, "{}"),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#),
            (r#"["a"]"#, r#"["A"]"#),
            (r#"["e\u0301"]"#, r#"["é"]"#),
            (r#"[" a"]"#, r#"["a"]"#),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn unreadable_json_is_returned_unchanged() {
        let deep = |levels: usize| format!("{}{}", "[ ".repeat(levels), "]".repeat(levels));
        for text in [
            "",
            "{",
            "{} {}",
            "[01]",
            r#"["\ud800"]"#,
            &deep(33),
            &deep(30_000),
        ] {
            assert_eq!(canonical(text), text);
        }
        assert_eq!(canonical(&deep(32)), deep(32).replace(' ', ""));
        assert_eq!(canonical_json(b"\"\xff\""), b"\"\xff\"");
    }
}

//! One text for all JSON that says the same.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json::{BYTE_ORDER_MARK, MAX_DEPTH};

/// The JSON without white space, its members in the order of their names and its strings in
/// one spelling. Numbers stay as they are written. What is no JSON, or is nested deeper than any
/// that we take, stands for itself.
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
            // Those of one name stay in their order.
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

/// The members of an object, as often as they are there.
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
    fn order_and_white_space_say_nothing() {
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
    fn everything_else_says_something() {
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
    fn what_cannot_be_read_stands_for_itself() {
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

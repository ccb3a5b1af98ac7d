//! JSON from clients, read into the types of the routes.
//!
//! serde's own deserializers are lenient where a client should be told of a mistake: they accept a
//! list for a struct, ignore unknown fields, and explain errors in terms of Rust. This one accepts
//! only objects, names the fields that are unknown and the first one that is missing or given twice, and
//! says what a value must be.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, Expected, IgnoredAny, IntoDeserializer, MapAccess,
        SeqAccess, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::{FieldErrors, Problem};

/// How deeply objects and lists may be nested. No resource comes near it.
pub(crate) const MAX_DEPTH: usize = 32;

/// What some editors and languages put before UTF-8. A JSON parser may skip it (RFC 8259, section
/// 8.1).
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How many characters of an unknown field name are repeated to the client, and how many such
/// names.
const MAX_REPEATED: usize = 64;
const MAX_UNKNOWN: usize = 20;

/// A value; the members of an object are in their original order, including duplicates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("The body must be a JSON object in UTF-8")]
    NotJson,
    #[error("The body must not be nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("There must be nothing after the JSON object")]
    More,
}

impl Json {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Unreadable> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        let mut reader = serde_json::Deserializer::from_slice(body);
        let json = Levels(MAX_DEPTH).deserialize(&mut reader);
        // Any other error is a syntax error.
        let json = json.map_err(|error| {
            if error.is_data() {
                Unreadable::TooDeep
            } else {
                Unreadable::NotJson
            }
        })?;
        reader.end().map_err(|_| Unreadable::More)?;
        Ok(json)
    }

    /// Reads the input of a route. `noun` is what its members are called.
    pub(crate) fn read<T: DeserializeOwned>(self, noun: &'static str) -> Result<T, Problem> {
        serde_path_to_error::deserialize(self).map_err(|error| {
            let path = error.path().to_string();
            let path = if path == "." { "" } else { &path };
            error.into_inner().into_problem(path, noun)
        })
    }
}

/// Reads a value with at most this many levels.
struct Levels(usize);

impl Levels {
    fn below<E: serde::de::Error>(&self) -> Result<usize, E> {
        self.0.checked_sub(1).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Levels {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Levels {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Levels(below))? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut object = Vec::new();
        while let Some(name) = members.next_key()? {
            object.push((name, members.next_value_seed(Levels(below))?));
        }
        Ok(Json::Object(object))
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(value) => match (value.as_u64(), value.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(value.as_f64().unwrap_or_default()),
            },
            Self::Text(value) => visitor.visit_string(value),
            Self::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Self::Object(members) => visitor.visit_map(MapDeserializer::new(members.into_iter())),
        }
    }

    /// Forms send a field that was not filled in as an empty string: an optional value is then
    /// absent.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self {
            Self::Null => visitor.visit_none(),
            Self::Text(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if let Self::Object(members) = &self {
            let unknown = members
                .iter()
                .filter(|(name, _)| !fields.contains(&&**name));
            let unknown: Vec<_> = unknown
                .take(MAX_UNKNOWN)
                .map(|(name, _)| (name.chars().take(MAX_REPEATED).collect(), Wrong::Unknown))
                .collect();
            if !unknown.is_empty() {
                return Err(Refused(unknown));
            }
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            _ => Err(Wrong::Type("Must be an object".to_owned()).into()),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match self {
            Self::Text(name) => visitor.visit_enum(name.into_deserializer()),
            _ => Err(Wrong::Type(one_of(variants)).into()),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct identifier
    }
}

impl IntoDeserializer<'_, Refused> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// What is wrong with which members of a value; an empty name stands for the value itself.
#[derive(Debug)]
pub(crate) struct Refused(Vec<(String, Wrong)>);

#[derive(Debug)]
enum Wrong {
    Missing,
    Unknown,
    Twice,
    Type(String),
    Value(String),
}

impl Wrong {
    fn at(self, member: &str) -> Refused {
        Refused(vec![(member.to_owned(), self)])
    }

    fn message(&self, noun: &str) -> String {
        match self {
            Self::Missing => "Is required".to_owned(),
            Self::Unknown => format!("There is no such {noun}"),
            Self::Twice => "Must be given only once".to_owned(),
            Self::Type(message) | Self::Value(message) => message.clone(),
        }
    }

    /// As a sentence of its own, without the value, which may be patient data.
    fn detail(&self, noun: &str, name: &str) -> String {
        match self {
            Self::Missing => format!("The {noun} {name} is required"),
            Self::Unknown => format!("There is no {noun} {name}"),
            Self::Twice => format!("The {noun} {name} is given more than once"),
            Self::Type(_) => format!("The {noun} {name} has a value of the wrong type"),
            Self::Value(_) => format!("The {noun} {name} has an invalid value"),
        }
    }
}

impl From<Wrong> for Refused {
    fn from(wrong: Wrong) -> Self {
        wrong.at("")
    }
}

impl Refused {
    fn into_problem(self, path: &str, noun: &'static str) -> Problem {
        let mut errors = FieldErrors::new();
        let mut detail = None;
        let only = self.0.len() == 1;
        for (name, wrong) in self.0 {
            let name = match (path, &*name) {
                (_, "") => path.to_owned(),
                ("", _) => name,
                _ => format!("{path}.{name}"),
            };
            if name.is_empty() {
                return Problem::invalid_input(errors)
                    .with_detail("The body must be a JSON object");
            }
            detail = detail.or_else(|| Some(wrong.detail(noun, &name)));
            errors.insert(name, wrong.message(noun));
        }
        let problem = Problem::invalid_input(errors);
        match detail {
            Some(detail) if only => problem.with_detail(detail),
            _ => problem,
        }
    }
}

fn one_of(names: &[&str]) -> String {
    format!("Must be one of {}", names.join(", "))
}

impl serde::de::Error for Refused {
    /// Our own types already say what they must be, in words for clients.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Wrong::Value(message.to_string()).into()
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Wrong::Type(format!("Must be {expected}")).into()
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Wrong::Value(format!("Must be {expected}")).into()
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Wrong::Value(format!("Must be {expected}")).into()
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Wrong::Value(one_of(variants)).into()
    }

    fn unknown_field(name: &str, _: &'static [&'static str]) -> Self {
        Wrong::Unknown.at(name)
    }

    fn missing_field(name: &'static str) -> Self {
        Wrong::Missing.at(name)
    }

    fn duplicate_field(name: &'static str) -> Self {
        Wrong::Twice.at(name)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the input is invalid")
    }
}

impl std::error::Error for Refused {}

/// A field of a resource that clients cannot set. A client that reads a resource, edits it and
/// writes it back sends it along: it is accepted and ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnly;

impl<'de> Deserialize<'de> for ReadOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Outer {
        #[expect(dead_code, reason = "deserialized but never read")]
        inner: Inner,
        optional: Option<Kind>,
        #[serde(default)]
        #[expect(dead_code, reason = "deserialized but never read")]
        read_only: ReadOnly,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "deserialized but never read")]
        number: u8,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    enum Kind {
        One,
        Two,
    }

    fn read(json: &str) -> Result<Outer, serde_json::Value> {
        let json = Json::parse(json.as_bytes()).unwrap();
        json.read("field")
            .map_err(|problem| serde_json::to_value(problem.errors()).unwrap())
    }

    #[test]
    fn every_invalid_field_is_named_with_its_path() {
        use serde_json::json;
        for (body, errors) in [
            ("{}", json!({ "inner": "Is required" })),
            (r#"{"inner":{}}"#, json!({ "inner.number": "Is required" })),
            (r#"{"inner":[1]}"#, json!({ "inner": "Must be an object" })),
            (r#"[{"number":1}]"#, json!({})),
            (
                r#"{"inner":{"number":1,"a":1,"b":1}}"#,
                json!({ "inner.a": "There is no such field", "inner.b": "There is no such field" }),
            ),
            (
                r#"{"inner":{"number":1,"number":1}}"#,
                json!({ "inner.number": "Must be given only once" }),
            ),
            (
                r#"{"inner":{"number":"1"}}"#,
                json!({ "inner.number": "Must be u8" }),
            ),
            (
                r#"{"inner":{"number":1},"optional":"THREE"}"#,
                json!({ "optional": "Must be one of ONE, TWO" }),
            ),
            (
                r#"{"inner":{"number":1},"optional":{"ONE":null}}"#,
                json!({ "optional": "Must be one of ONE, TWO" }),
            ),
        ] {
            assert_eq!(read(body).unwrap_err(), errors, "{body}");
        }
    }

    #[test]
    fn an_empty_optional_field_is_an_absent_one() {
        for optional in [
            "",
            r#","optional":"""#,
            r#","optional":" ""#,
            r#","optional":null"#,
        ] {
            let outer = read(&format!(r#"{{"inner":{{"number":1}}{optional}}}"#)).unwrap();
            assert_eq!(outer.optional, None);
        }
        let outer = read(r#"{"inner":{"number":1},"optional":"TWO","readOnly":{"a":[1]}}"#);
        assert_eq!(outer.unwrap().optional, Some(Kind::Two));
    }

    #[test]
    fn unknown_field_names_are_repeated_only_in_part() {
        let names: Vec<String> = (0..1000)
            .map(|n| format!(r#""{n}{}":1"#, "x".repeat(99)))
            .collect();
        let errors = read(&format!("{{{}}}", names.join(","))).unwrap_err();
        let errors = errors.as_object().unwrap();
        assert_eq!(errors.len(), MAX_UNKNOWN);
        assert!(errors.keys().all(|name| name.len() == MAX_REPEATED));
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 128, 30_000] {
            let deep = Json::parse(nested(depth).as_bytes());
            assert_eq!(deep, Err(Unreadable::TooDeep));
        }
        assert_eq!(Json::parse(b"[1"), Err(Unreadable::NotJson));
        assert_eq!(Json::parse(b"{}{}"), Err(Unreadable::More));
        assert_eq!(Json::parse(b"\xef\xbb\xbf{}"), Ok(Json::Object(Vec::new())));
    }
}

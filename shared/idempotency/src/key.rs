//! The key that a client gives its request.

use api::{Problem, only_header};
use http::HeaderMap;
use utoipa::{
    IntoParams,
    openapi::{
        Object, ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

/// The header's name as clients know it.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The longest key, in characters.
const MAX_LENGTH: usize = 255;

/// 1 to 255 printable ASCII characters. It makes no difference whether the client put it in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl Key {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// 400 if there are several keys, or an invalid one.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = only_header(headers, IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        let key = value.to_str().ok().and_then(Self::parse);
        key.map(Some).ok_or_else(|| {
            Problem::invalid_field(
                IDEMPOTENCY_KEY,
                "Idempotency-Key must have 1 to 255 printable ASCII characters",
            )
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Either a string according to RFC 9651, section 3.3.3, or the bare characters, as many
    /// clients send.
    fn parse(value: &str) -> Option<Self> {
        let value = value.trim_matches([' ', '\t']);
        let key = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => value.to_owned(),
        };
        let printable = key.chars().all(|c| matches!(c, ' '..='~'));
        let fits = (1..=MAX_LENGTH).contains(&key.len());
        (printable && fits).then_some(Self(key))
    }
}

/// Documents the header of routes in the [layer](crate::layer) in the API document.
#[derive(Debug)]
pub struct IdempotencyKey;

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let form: Object = ObjectBuilder::new()
            .schema_type(Type::String)
            // Bare, or a string in quotation marks.
            .pattern(Some(
                r#"^([!#-~]([ -~]{0,253}[!-~])?|"([ !#-\[\]-~]|\\["\\]){1,255}")$"#,
            ))
            .build();
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "Identifies this request, such as a new UUID: repeated with the same key, it has one effect, and the same response for at least 24 hours",
            ))
            .schema(Some(form));
        vec![parameter.build()]
    }
}

/// The content up to the closing quotation mark, which has to be the last character.
fn unquote(quoted: &str) -> Option<String> {
    let mut key = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|c| matches!(c, '"' | '\\'))?),
            character => key.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parse(value: &str) -> Option<String> {
        Key::parse(value).map(|key| key.0)
    }

    #[test]
    fn quotation_marks_around_a_key_make_no_difference() {
        for value in ["a-b 1", "\"a-b 1\"", "  a-b 1 ", "\t\"a-b 1\" "] {
            assert_eq!(parse(value).as_deref(), Some("a-b 1"), "{value}");
        }
        assert_eq!(parse(r#""a\"b\\c""#).as_deref(), Some(r#"a"b\c"#));
        assert_eq!(parse(r#"a"b\c"#).as_deref(), Some(r#"a"b\c"#));
    }

    #[test]
    fn a_key_has_1_to_255_printable_characters() {
        assert!(parse(&"k".repeat(255)).is_some());
        assert!(parse(&format!("\"{}\"", "k".repeat(255))).is_some());
        for value in [
            "",
            "  ",
            "\"\"",
            "\"",
            "\"open",
            "\"closed\" and more",
            "\"closed\";parameter=1",
            "\"wrong \\escape\"",
            "\"ends in \\",
            "a\tb",
            "schlüssel",
            &"k".repeat(256),
            &format!("\"{}\"", "k".repeat(256)),
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn several_keys_are_rejected() {
        let mut headers = HeaderMap::new();
        assert_eq!(Key::of(&headers).unwrap(), None);
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert_eq!(Key::of(&headers).unwrap(), Some(Key("one".to_owned())));
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("one"));
        assert!(Key::of(&headers).is_err());

        let not_text = HeaderValue::from_bytes(b"\xff").unwrap();
        let headers = HeaderMap::from_iter([(crate::IDEMPOTENCY_KEY, not_text)]);
        assert!(Key::of(&headers).is_err());
    }
}

//! Optimistic concurrency: the version of a resource as its `ETag`, and the versions that a client
//! accepts in `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1).

use axum::{
    extract::FromRequestParts,
    response::{IntoResponseParts, ResponseParts},
};
use http::{HeaderValue, header, request::Parts};
use utoipa::{
    IntoParams,
    openapi::{
        Object, ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::{Problem, only_header};

/// The header's name as clients know it.
const IF_MATCH: &str = "If-Match";

/// The version of a resource as the client sees it: a strong entity tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTag(pub i64);

impl IntoResponseParts for EntityTag {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            parts.headers_mut().insert(header::ETAG, value);
        }
        Ok(parts)
    }
}

/// Whether a change has to name the version that it applies to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfMatchRule {
    /// A change without `If-Match` applies to the current version, whichever it is.
    #[default]
    Optional,
    /// A change without `If-Match` is rejected with 428.
    Required,
}

/// The setting is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("REQUIRE_IF_MATCH: {0} is neither true nor false")]
pub struct UnknownIfMatchRule(String);

impl IfMatchRule {
    /// Reads `REQUIRE_IF_MATCH`, `true` or `false`; optional if it is not set.
    ///
    /// # Errors
    /// If it is neither.
    pub fn from_env() -> Result<Self, UnknownIfMatchRule> {
        Self::parse(&std::env::var("REQUIRE_IF_MATCH").unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, UnknownIfMatchRule> {
        match text {
            "" | "false" => Ok(Self::Optional),
            "true" => Ok(Self::Required),
            _ => Err(UnknownIfMatchRule(text.to_owned())),
        }
    }
}

/// Which versions the client allows to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`, or no header where none is required: any version.
    Any,
    /// One of these. An entity tag that is not ours matches nothing.
    OneOf(Vec<i64>),
}

impl IfMatch {
    /// Whether a resource at `version` may be changed.
    ///
    /// # Errors
    /// 412 if not.
    pub fn check(&self, version: i64) -> Result<(), Problem> {
        match self {
            Self::OneOf(versions) if !versions.contains(&version) => {
                Err(Problem::precondition_failed())
            }
            _ => Ok(()),
        }
    }

    fn parse(header: &[u8]) -> Option<Self> {
        if header.trim_ascii() == b"*" {
            return Some(Self::Any);
        }
        let mut versions = Vec::new();
        let mut tags = 0;
        let mut rest = header;
        loop {
            rest = rest.trim_ascii_start();
            // A list may contain empty elements (RFC 9110, section 5.6.1.2).
            if let Some(behind) = rest.strip_prefix(b",") {
                rest = behind;
                continue;
            }
            if rest.is_empty() {
                return (tags > 0).then_some(Self::OneOf(versions));
            }
            let (opaque, behind) = tag(rest)?;
            versions.extend(version(opaque));
            tags += 1;
            rest = behind.trim_ascii_start();
            if !(rest.is_empty() || rest.starts_with(b",")) {
                return None;
            }
        }
    }
}

/// How the header appears in the API document.
impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let form: Object = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r#"^(\*|(W/)?"[!#-+.-~-]*"(, ?(W/)?"[!#-+.-~-]*")*)$"#))
            .build();
        let parameter = ParameterBuilder::new()
            .name("If-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The `ETag` of the version that was read. If the resource has changed since, the response is 412 and nothing is changed",
            ))
            .schema(Some(form));
        vec![parameter.build()]
    }
}

/// The content of the first entity tag, and the rest of the text.
///
/// A weak tag is read like a strong one. `If-Match` requires a strong comparison, but we issue no
/// weak tags: a weak tag with one of our versions is our own tag after a proxy has compressed the
/// response, and still says which version the client has read.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"W/").unwrap_or(text);
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let (opaque, behind) = (&text[..end], &text[end + 1..]);
    let allowed = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    opaque.iter().all(allowed).then_some((opaque, behind))
}

/// The version that this tag was issued for, if it is exactly as we write it.
fn version(opaque: &[u8]) -> Option<i64> {
    let text = str::from_utf8(opaque).ok()?;
    let version: i64 = text.parse().ok()?;
    (version.to_string() == text).then_some(version)
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match only_header(&parts.headers, IF_MATCH)? {
            Some(header) => Self::parse(header.as_bytes()).ok_or_else(|| {
                Problem::invalid_field(
                    IF_MATCH,
                    "If-Match must be *, or entity tags in double quotes, such as \"3\"",
                )
            }),
            None if parts.extensions.get() == Some(&IfMatchRule::Required) => {
                Err(Problem::precondition_required())
            }
            None => Ok(Self::Any),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<IfMatch> {
        IfMatch::parse(header.as_bytes())
    }

    fn versions(header: &str) -> Option<Vec<i64>> {
        match parse(header)? {
            IfMatch::OneOf(versions) => Some(versions),
            IfMatch::Any => None,
        }
    }

    #[test]
    fn if_match_is_read_as_the_standard_allows() {
        assert_eq!(parse("*"), Some(IfMatch::Any));
        assert_eq!(parse(" *\t"), Some(IfMatch::Any));
        for (header, of_ours) in [
            ("\"3\"", &[3][..]),
            ("W/\"3\"", &[3]),
            ("\"3\", W/\"4\",\"abc\"", &[3, 4]),
            (" ,\"3\" , ,\"4\",", &[3, 4]),
            // Not our tags.
            ("\"\"", &[]),
            ("\"a,b\\\", \"3\"", &[3]),
            ("\"\u{e9}\"", &[]),
        ] {
            assert_eq!(versions(header).as_deref(), Some(of_ours), "{header}");
        }
    }

    #[test]
    fn a_version_has_exactly_one_spelling() {
        for other in ["03", "+3", "-0", "3.0", "0x3", "9223372036854775808", "٣"] {
            assert_eq!(versions(&format!("\"{other}\"")), Some(vec![]), "{other}");
        }
        for blank in ["\" 3\"", "\"3 \""] {
            assert_eq!(parse(blank), None, "{blank}");
        }
    }

    #[test]
    fn a_malformed_if_match_is_not_a_mismatch() {
        for header in [
            "",
            " ",
            ",",
            "3",
            "'3'",
            "\"3",
            "3\"",
            "\"",
            "w/\"3\"",
            "W/3",
            "W/ \"3\"",
            "\"3\"\"4\"",
            "\"3\" \"4\"",
            "\"3\";\"4\"",
            "\"a\tb\"",
            "*, \"3\"",
            "\"3\", *",
            "**",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn an_unknown_tag_matches_no_version() {
        assert!(parse("\"abc\"").unwrap().check(1).is_err());
        assert!(parse("\"1\"").unwrap().check(1).is_ok());
        assert!(parse("W/\"1\"").unwrap().check(2).is_err());
    }

    #[test]
    fn require_if_match_is_true_or_false() {
        assert_eq!(IfMatchRule::parse(""), Ok(IfMatchRule::Optional));
        assert_eq!(IfMatchRule::parse("false"), Ok(IfMatchRule::Optional));
        assert_eq!(IfMatchRule::parse("true"), Ok(IfMatchRule::Required));
        for unclear in ["True", "yes", "1"] {
            assert!(IfMatchRule::parse(unclear).is_err(), "{unclear}");
        }
    }
}

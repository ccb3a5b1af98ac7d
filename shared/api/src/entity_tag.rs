//! Optimistic concurrency: the version of a resource as `ETag`, and what a client asks
//! for with `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1).

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

/// The header by the name that clients know it by.
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

/// Whether a change has to name the version that it is made to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IfMatchRule {
    /// A change without `If-Match` is made to whatever is there.
    #[default]
    Optional,
    /// A change without `If-Match` is answered 428.
    Required,
}

/// The deployment says neither yes nor no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("REQUIRE_IF_MATCH: {0} is neither true nor false")]
pub struct UnknownIfMatchRule(String);

impl IfMatchRule {
    /// Reads `REQUIRE_IF_MATCH`, `true` or `false`; optional where it is not set.
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
    /// One of these; an entity tag that we never gave out matches nothing.
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
            // Of a list of tags some elements may be empty (RFC 9110, section 5.6.1.2).
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

/// How the header is described to clients.
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
                "The `ETag` that was read: what was changed since then is left as it is, and the answer is 412",
            ))
            .schema(Some(form));
        vec![parameter.build()]
    }
}

/// What is between the quotation marks of the first entity tag, and what is behind it.
///
/// A weak tag is read like a strong one. `If-Match` is to compare strongly, but we give out no
/// weak tags: one with a version of ours is our own tag after a proxy has compressed the answer
/// that it came with, and says which version the client has read.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"W/").unwrap_or(text);
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let (opaque, behind) = (&text[..end], &text[end + 1..]);
    let allowed = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    opaque.iter().all(allowed).then_some((opaque, behind))
}

/// The version that we give out this tag for, if there is one: in the form that we write it.
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
    fn reads_what_the_standard_allows() {
        assert_eq!(parse("*"), Some(IfMatch::Any));
        assert_eq!(parse(" *\t"), Some(IfMatch::Any));
        for (header, of_ours) in [
            ("\"3\"", &[3][..]),
            ("W/\"3\"", &[3]),
            ("\"3\", W/\"4\",\"abc\"", &[3, 4]),
            (" ,\"3\" , ,\"4\",", &[3, 4]),
            // Not ours, whatever is in it.
            ("\"\"", &[]),
            ("\"a,b\\\", \"3\"", &[3]),
            ("\"\u{e9}\"", &[]),
        ] {
            assert_eq!(versions(header).as_deref(), Some(of_ours), "{header}");
        }
    }

    #[test]
    fn a_version_has_one_form() {
        for other in ["03", "+3", "-0", "3.0", "0x3", "9223372036854775808", "٣"] {
            assert_eq!(versions(&format!("\"{other}\"")), Some(vec![]), "{other}");
        }
        for blank in ["\" 3\"", "\"3 \""] {
            assert_eq!(parse(blank), None, "{blank}");
        }
    }

    #[test]
    fn what_is_no_entity_tag_is_told_from_one_that_does_not_match() {
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
    fn the_deployment_says_yes_or_no() {
        assert_eq!(IfMatchRule::parse(""), Ok(IfMatchRule::Optional));
        assert_eq!(IfMatchRule::parse("false"), Ok(IfMatchRule::Optional));
        assert_eq!(IfMatchRule::parse("true"), Ok(IfMatchRule::Required));
        for unclear in ["True", "yes", "1"] {
            assert!(IfMatchRule::parse(unclear).is_err(), "{unclear}");
        }
    }
}

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

use crate::{Problem, ProblemType};

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

/// Which versions the client allows to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, or `*`: any version.
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

    fn parse(header: &str) -> Option<Self> {
        if header.trim() == "*" {
            return Some(Self::Any);
        }
        let mut versions = Vec::new();
        for tag in header.split(',') {
            let tag = tag.trim();
            // A weak tag never matches here: If-Match compares strongly.
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque = opaque.strip_prefix('"')?.strip_suffix('"')?;
            if let (false, Ok(version)) = (tag.starts_with("W/"), opaque.parse()) {
                versions.push(version);
            }
        }
        Some(Self::OneOf(versions))
    }
}

/// How the header is described to clients.
impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let form: Object = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(
                r#"^(\*|(W/)?"[ !#-+.-~-]*"(, ?(W/)?"[ !#-+.-~-]*")*)$"#,
            ))
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

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let Some(header) = parts.headers.get(header::IF_MATCH) else {
            return Ok(Self::Any);
        };
        header.to_str().ok().and_then(Self::parse).ok_or_else(|| {
            Problem::new(
                ProblemType::InvalidInput,
                "If-Match must be an entity tag in double quotes, or *",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_standard_allows() {
        assert_eq!(IfMatch::parse("*"), Some(IfMatch::Any));
        assert_eq!(IfMatch::parse("\"3\""), Some(IfMatch::OneOf(vec![3])));
        assert_eq!(
            IfMatch::parse("\"3\", W/\"4\", \"abc\""),
            Some(IfMatch::OneOf(vec![3]))
        );
        assert_eq!(IfMatch::parse("3"), None);
    }

    #[test]
    fn an_unknown_tag_matches_no_version() {
        assert!(IfMatch::parse("\"abc\"").unwrap().check(1).is_err());
        assert!(IfMatch::parse("\"1\"").unwrap().check(1).is_ok());
    }
}

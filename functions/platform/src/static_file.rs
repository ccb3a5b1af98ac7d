//! Files that are part of the program, served so that a browser fetches each only once.

use std::borrow::Cow;

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use utoipa::{
    IntoParams,
    openapi::{
        Object, ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

/// A text file and how it may be kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StaticFile {
    pub(crate) content_type: &'static str,
    pub(crate) cache_control: &'static str,
    pub(crate) content: &'static str,
}

impl StaticFile {
    /// The file, or 304 for a client that has it already (RFC 9110, section 13.1.2).
    pub(crate) fn answer(self, request: &HeaderMap) -> Response {
        self.answer_with(self.content.into(), request)
    }

    /// The same with this in the place of the content.
    pub(crate) fn answer_with(self, content: Cow<'static, str>, request: &HeaderMap) -> Response {
        let tag = entity_tag(&content);
        let mut response = if has_already(request, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut whole = Body::from(content).into_response();
            let content_type = HeaderValue::from_static(self.content_type);
            whole
                .headers_mut()
                .insert(header::CONTENT_TYPE, content_type);
            whole
        };
        let headers = response.headers_mut();
        let cache_control = HeaderValue::from_static(self.cache_control);
        headers.insert(header::CACHE_CONTROL, cache_control);
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}

/// Weak, because a gateway may compress the file on its way.
fn entity_tag(content: &str) -> String {
    let content = content.as_bytes();
    format!("W/\"{:08x}-{:x}\"", crc32fast::hash(content), content.len())
}

/// The header that says what a client has already, as it is described to clients.
pub(crate) struct IfNoneMatch;

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text: Object = ObjectBuilder::new().schema_type(Type::String).build();
        let parameter = ParameterBuilder::new()
            .name("If-None-Match")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The `ETag` of what you have already"))
            .schema(Some(text));
        vec![parameter.build()]
    }
}

fn has_already(request: &HeaderMap, tag: &str) -> bool {
    request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|candidate| {
            candidate == "*" || candidate.trim_start_matches("W/") == tag.trim_start_matches("W/")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: StaticFile = StaticFile {
        content_type: "text/plain",
        cache_control: "no-cache",
        content: "content",
    };

    fn answer(if_none_match: Option<&str>) -> Response {
        let mut request = HeaderMap::new();
        if let Some(tags) = if_none_match {
            request.insert(header::IF_NONE_MATCH, tags.parse().unwrap());
        }
        FILE.answer(&request)
    }

    #[test]
    fn who_has_the_file_is_not_sent_it_again() {
        let first = answer(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].to_str().unwrap();

        for tags in [tag, tag.trim_start_matches("W/"), "*"] {
            let again = answer(Some(tags));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{tags}");
            assert_eq!(again.headers()[header::ETAG], tag);
            assert_eq!(again.headers()[header::CACHE_CONTROL], "no-cache");
        }
        let again = answer(Some(&format!("\"other\", {tag}")));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn who_has_another_version_is_sent_this_one() {
        assert_eq!(answer(Some("\"other\"")).status(), StatusCode::OK);
        assert_ne!(entity_tag("content"), entity_tag("CONTENT"));
    }
}

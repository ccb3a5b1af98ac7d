//! The headers of responses, each described once.

use utoipa::openapi::{
    Components, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, Schema, Type,
};

pub(super) const REQUEST_ID: &str = "X-Request-Id";
pub(super) const RETRY_AFTER: &str = "Retry-After";
pub(super) const WWW_AUTHENTICATE: &str = "WWW-Authenticate";
pub(super) const ENTITY_TAG: &str = "ETag";
pub(super) const REPLAYED: &str = "Idempotency-Replayed";

/// Adds all headers to the shared components.
pub(super) fn share(components: &mut Components) {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let headers: [(&str, &str, Schema); 5] = [
        (
            REQUEST_ID,
            "Identifies the request in the logs; quote it when you ask for help",
            text().into(),
        ),
        (
            RETRY_AFTER,
            "The number of seconds after which to try again",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0))
                .into(),
        ),
        (WWW_AUTHENTICATE, "`Bearer`", text().into()),
        (
            ENTITY_TAG,
            "The version: for `If-Match` if the resource can be changed, for `If-None-Match` if it can be cached",
            text().pattern(Some(r#"^(W/)?"[!#-~]*"$"#)).into(),
        ),
        (
            REPLAYED,
            "`true` if the request took effect when it was first received, and this is the response from then",
            text().enum_values(Some(["true"])).into(),
        ),
    ];
    for (name, description, schema) in headers {
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description))
            .build();
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
}

/// Declares that the response may have this header.
pub(super) fn add(response: &mut Response, name: &str) {
    let reference = Ref::new(format!("#/components/headers/{name}"));
    response
        .headers
        .insert(name.to_owned(), RefOr::Ref(reference));
}

/// The headers of an operation's successful responses: those that its handler names, as described
/// for all, and those that the layers around every handler add.
pub(super) fn complete(response: &mut Response, is_repeatable: bool) {
    for shared in [ENTITY_TAG, RETRY_AFTER] {
        if response.headers.contains_key(shared) {
            add(response, shared);
        }
    }
    add(response, REQUEST_ID);
    if is_repeatable {
        add(response, REPLAYED);
    }
}

//! The API as an OpenAPI document, for people's tools and for `/docs`.
//!
//! The document is made from the handlers of all services when the code changes, not
//! when somebody asks for it: `cargo run -p system-tests --bin openapi-document` writes it, and a
//! test holds it against the code and the template. Its one server is relative to the
//! document's own address, so that it is right for every stage, host and base path.

use axum::{Router, response::Response, routing::get};
use http::HeaderMap;

use crate::static_file::{IfNoneMatch, StaticFile};

/// The document as it is committed.
pub(crate) const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

const FILE: StaticFile = StaticFile {
    content_type: "application/json",
    cache_control: "no-cache",
    content: DOCUMENT,
};

/// The route.
pub fn routes() -> Router {
    Router::new().route("/openapi.json", get(get_document))
}

/// The API's description
///
/// This document. It answers with an `ETag`, so that tools fetch it only when it changed.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "platform",
    operation_id = "getOpenApiDocument",
    params(IfNoneMatch),
    responses(
        (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = serde_json::Value,
         headers(("ETag" = String, description = "The version"))),
        (status = 304, description = "Unchanged since the version in `If-None-Match`",
         headers(("ETag" = String, description = "The version"))),
    )
)]
pub(crate) async fn get_document(headers: HeaderMap) -> Response {
    FILE.answer(&headers)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_server_is_where_the_document_is() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["servers"], serde_json::json!([{ "url": "." }]));
    }
}

//! What no other function answers: a browser's preflight, a method that a route lacks, a path
//! that is no route.
//!
//! API Gateway calls this function for every method of a path that has none of its own, and
//! for every path that it does not know. Left to itself it answers both with a 403 about an
//! authentication token, and a browser does not even get as far as that: its preflight fails.

use std::collections::BTreeSet;

use api::{AllowedOrigins, Problem, request_context};
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::any,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::preflight;

/// Everything, for pages of these origins.
pub fn routes(origins: AllowedOrigins) -> Router {
    Router::new()
        .route("/", any(answer))
        .route("/{*path}", any(answer))
        .with_state(origins)
}

async fn answer(
    State(origins): State<AllowedOrigins>,
    request: Request,
) -> Result<Response, Problem> {
    let context = request_context(request.extensions());
    let route = context.and_then(|context| context.resource_path.as_deref());
    let allowed = route.and_then(methods_of);
    if request.method() == Method::OPTIONS {
        let allow = allowed.and_then(|methods| HeaderValue::try_from(methods).ok());
        let allow: HeaderMap = allow
            .map(|methods| (header::ALLOW, methods))
            .into_iter()
            .collect();
        let permitted = preflight::headers(&origins, request.headers());
        return Ok((StatusCode::NO_CONTENT, allow, permitted).into_response());
    }
    Err(match allowed {
        Some(methods) => Problem::method_not_allowed(&methods),
        None => Problem::not_found("There is no such route"),
    })
}

/// The methods of the route at this path, as in `Allow`; nothing if there is no such route.
fn methods_of(path: &str) -> Option<String> {
    let routes = route::table().iter().filter(|route| route.path == path);
    let mut methods: BTreeSet<_> = routes.map(|route| route.method.name()).collect();
    if methods.is_empty() {
        return None;
    }
    if methods.contains("GET") {
        methods.insert("HEAD");
    }
    methods.insert("OPTIONS");
    Some(Vec::from_iter(methods).join(", "))
}

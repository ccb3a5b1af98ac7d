//! What no other function answers: a browser's preflight, a method that a route lacks, a path
//! that is no route.
//!
//! API Gateway calls this function for every method of a path that has none of its own, and
//! for every path that it does not know. Left to itself it answers both with a 403 about an
//! authentication token, and a browser does not even get as far as that: its preflight fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use api::{AllowedOrigins, Problem, request_context};
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse as _, Response},
    routing::any,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{openapi, preflight};

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
    let allowed = route.and_then(|route| ROUTES.get(&shape(route)));
    if request.method() == Method::OPTIONS {
        let allow = allowed.and_then(|methods| HeaderValue::from_str(methods).ok());
        let allow: HeaderMap = allow
            .map(|methods| (header::ALLOW, methods))
            .into_iter()
            .collect();
        let permitted = preflight::headers(&origins, request.headers());
        return Ok((StatusCode::NO_CONTENT, allow, permitted).into_response());
    }
    Err(match allowed {
        Some(methods) => Problem::method_not_allowed(methods),
        None => Problem::not_found("There is no such route"),
    })
}

/// The methods of each route, as in `Allow`. From the API's document, which a test holds
/// against the handlers and the template; read when somebody first asks.
static ROUTES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Document {
        paths: BTreeMap<String, Map<String, Value>>,
    }
    let document = serde_json::from_str(openapi::DOCUMENT);
    let Document { paths } = document.unwrap_or_else(|error| {
        tracing::error!(cause = %error, "the API's document cannot be read");
        Document {
            paths: BTreeMap::new(),
        }
    });
    paths
        .into_iter()
        .map(|(path, item)| (shape(&path), methods(item.keys())))
        .collect()
});

/// Those that a path has in the document, and those that come with them.
fn methods<'a>(documented: impl Iterator<Item = &'a String>) -> String {
    let mut methods: BTreeSet<_> = documented.map(|name| name.to_uppercase()).collect();
    methods.retain(|name| ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&name.as_str()));
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods.insert("OPTIONS".to_owned());
    Vec::from_iter(methods).join(", ")
}

/// A path without the names of its parameters, which the gateway calls otherwise
/// (`{proxy+}`) than the document.
fn shape(path: &str) -> String {
    let shapes = path.split('/').map(|segment| {
        if segment.starts_with('{') {
            "{}"
        } else {
            segment
        }
    });
    shapes.collect::<Vec<_>>().join("/")
}

//! What a browser is told that asks, before it sends a request of another origin's page,
//! whether it may (CORS preflight, `OPTIONS` of any path).
//!
//! What it may is the same for every path: the route itself decides about the caller.

use api::AllowedOrigins;
use http::{HeaderMap, HeaderValue, header};

const METHODS: &str = "GET, POST, PUT, DELETE";

/// What pages may send: what the API reads, and what libraries for tracing and caching add to
/// every request of a page without asking it.
const HEADERS: &str = "Authorization, Content-Type, If-Match, Idempotency-Key, traceparent, \
    tracestate, baggage, sentry-trace, If-None-Match, X-Request-Id";

/// How long a browser may remember the answer, in seconds.
const MAX_AGE: &str = "600";

/// The answer's headers. A page of an origin that is not allowed learns nothing: without them
/// the browser does not send its request.
pub(crate) fn headers(origins: &AllowedOrigins, request: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    origins.allow(request, &mut headers);
    if origins.contain(request) {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers
}

//! One log line and one set of metrics per request, and the ids by which everything else about the
//! request is found.

use std::{sync::OnceLock, time::Instant};

use after_answer::in_invocation;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use lambda_http::{Context, aws_lambda_events::apigw::ApiGatewayProxyRequestContext};
use telemetry::{Metrics, TraceContext, Unit};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    AllowedOrigins, Problem, deadline::REQUEST_DEADLINE, gateway::request_context, only_header,
};

/// For two years, browsers come back over TLS only (RFC 6797). They ignore it on a response that
/// came without TLS, as on a developer's machine.
const ONLY_ENCRYPTED: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// What the layer knows before the first request.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    pub(crate) function: &'static str,
    pub(crate) origins: AllowedOrigins,
}

/// Identifies a request in the logs, in problem documents and in the audit trail. It is in the
/// extensions of every request that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

/// The longest id. API Gateway's have 36 characters; clients may send their own
/// (`x-amzn-requestid`), and some gateways adopt them.
const MAX_REQUEST_ID: usize = 128;

impl RequestId {
    /// Whether a text is a request id: 1 to 128 visible ASCII characters. API Gateway writes a
    /// single hyphen for an unknown value.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        let fits = (1..=MAX_REQUEST_ID).contains(&text.len()) && text != "-";
        fits && text.bytes().all(|byte| byte.is_ascii_graphic())
    }

    fn parse(text: &str) -> Option<Self> {
        Self::is_one(text).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this is the first request of the process: a cold start.
static STARTED: OnceLock<()> = OnceLock::new();

/// Runs the request in its trace and under its deadline, adds the request id to problem documents,
/// sets the headers that every response carries, and writes the request's log line and metrics.
pub(crate) async fn observe(
    State(observed): State<Observed>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let cold = STARTED.set(()).is_ok();
    let id = request_id(&request);
    let request_id = id.as_str().to_owned();
    let trace = trace(&request);
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let request_headers = request.headers().clone();
    let span = tracing::info_span!(
        "request",
        requestId = %request_id,
        traceId = %trace.trace_id(),
        function = observed.function,
        route = %route,
    );

    request.extensions_mut().insert(id);
    let work = trace.scope(next.run(request)).instrument(span.clone());
    let work = in_invocation(work);
    let mut response = within_deadline(work)
        .await
        .unwrap_or_else(IntoResponse::into_response);

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        log_cause(&span, &problem);
        response = problem.to_response(Some(&request_id));
    }
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::STRICT_TRANSPORT_SECURITY, ONLY_ENCRYPTED);
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert("x-request-id", id);
    }
    observed.origins.allow(&request_headers, headers);

    let status = response.status();
    Metrics::of_function(observed.function)
        .metric("Requests", Unit::Count, 1.0)
        .metric("ServerErrors", Unit::Count, count(status.is_server_error()))
        .metric("ClientErrors", Unit::Count, count(status.is_client_error()))
        .metric("ColdStarts", Unit::Count, count(cold))
        .metric(
            "Duration",
            Unit::Milliseconds,
            started.elapsed().as_secs_f64() * 1000.0,
        )
        .property(
            "level",
            if status.is_server_error() {
                "ERROR"
            } else {
                "INFO"
            },
        )
        .property("message", "request")
        .property("requestId", request_id)
        .property("traceId", trace.trace_id())
        .property("method", method.as_str())
        .property("route", route)
        .property("status", status.as_u16())
        .emit();
    response
}

/// The response to the work, or a problem if it misses the deadline.
///
/// The work is a task of its own and continues when nobody waits for it any more: abandoning it
/// between a message to the database and the reply would leave it open what became of its
/// transaction. It has a limit all the same, because a connection to a dead peer would delay the
/// requests that follow.
async fn within_deadline(
    work: impl Future<Output = Response> + Send + 'static,
) -> Result<Response, Problem> {
    let work = tokio::spawn(tokio::time::timeout(REQUEST_DEADLINE * 2, work));
    match tokio::time::timeout(REQUEST_DEADLINE, work).await {
        Ok(Ok(Ok(response))) => Ok(response),
        Ok(Err(panicked)) => Err(Problem::internal(panicked)),
        Ok(Ok(Err(elapsed))) | Err(elapsed) => Err(Problem::unavailable(1, elapsed)),
    }
}

fn count(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

fn log_cause(span: &tracing::Span, problem: &Problem) {
    let Some(causes) = problem.causes() else {
        return;
    };
    span.in_scope(|| {
        if problem.kind().status() == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(cause = %causes, "the request failed");
        } else {
            tracing::warn!(cause = %causes, "the request was not served");
        }
    });
}

/// API Gateway's id of the request, which is also in its access log; Lambda's id if there is no
/// gateway, or none with a valid id.
fn request_id(request: &Request) -> RequestId {
    let extensions = request.extensions();
    let from_gateway = |context: &ApiGatewayProxyRequestContext| {
        RequestId::parse(context.request_id.as_deref().unwrap_or_default())
    };
    request_context(extensions)
        .and_then(from_gateway)
        .or_else(|| RequestId::parse(&extensions.get::<Context>()?.request_id))
        .unwrap_or_else(|| RequestId(Uuid::now_v7().to_string()))
}

/// The caller's trace, else the one that API Gateway started, else a new one. A header that is sent
/// twice is ignored.
fn trace(request: &Request) -> TraceContext {
    let header = |name| only_header(request.headers(), name).ok()??.to_str().ok();
    header(contracts::TRACEPARENT)
        .and_then(|text| text.parse().ok())
        .or_else(|| TraceContext::from_xray(header("x-amzn-trace-id")?).ok())
        .unwrap_or_else(TraceContext::start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_bounded_and_visible() {
        for id in [
            "r",
            "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            &"x".repeat(128),
        ] {
            assert!(RequestId::is_one(id), "{id}");
        }
        for none in ["", "-", "a b", "a\nb", "ü", &"x".repeat(129)] {
            assert!(!RequestId::is_one(none), "{none}");
        }
    }
}

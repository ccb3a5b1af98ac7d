//! The routes that need nothing but themselves, called as Lambda calls them: with the
//! sample events of this repository.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end here"
)]

use std::fs;

use api::AllowedOrigins;
use axum::{Router, body::Body};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use lambda_http::{
    RequestExt as _, aws_lambda_events::apigw::ApiGatewayProxyRequestContext,
    request::RequestContext,
};
use platform::openapi::AddressFormat;
use serde_json::{Value, json};
use tower::ServiceExt as _;

async fn call(routes: Router, request: Request<Body>) -> Response<Body> {
    api::around("test", AllowedOrigins::default(), routes)
        .oneshot(request)
        .await
        .unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

/// The request that API Gateway would send for the event of this function.
fn sample_event(function: &str) -> Request<Body> {
    let file = format!(
        "{}/../../events/{function}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let event = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let request = lambda_http::request::from_str(&event).unwrap();
    request.map(|_| Body::empty())
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn openapi_routes() -> Router {
    platform::openapi::routes(AddressFormat::new("https://{host}"))
}

/// What the function is called with for a request of the custom domain `api.clinic.example`,
/// which has the API at `/patients`.
fn document_at_custom_domain() -> Request<Body> {
    let mut request = sample_event("openapi");
    let mut context = api::request_context(request.extensions()).unwrap().clone();
    context.domain_name = Some("api.clinic.example".to_owned());
    context.path = Some("/patients/openapi.json".to_owned());
    let headers = request.headers_mut();
    for name in ["host", "x-forwarded-host", "forwarded", "origin"] {
        headers.insert(name, "evil.example".parse().unwrap());
    }
    request.with_request_context(RequestContext::ApiGatewayV1(context))
}

#[tokio::test]
async fn the_document_says_where_the_api_is() {
    let response = call(openapi_routes(), document_at_custom_domain()).await;
    let tag = response.headers()[header::ETAG].clone();
    let served = text(response).await;
    let document: Value = serde_json::from_str(&served).unwrap();
    let expected = json!([{ "url": "https://api.clinic.example/patients" }]);
    assert_eq!(document["servers"], expected);
    assert!(!served.contains("evil"));

    // Elsewhere it is another document.
    let elsewhere = call(openapi_routes(), sample_event("openapi")).await;
    assert_ne!(elsewhere.headers()[header::ETAG], tag);

    // Without a gateway nobody knows more than the document's own address.
    let response = call(openapi_routes(), get("/openapi.json")).await;
    let document: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(document["servers"], json!([{ "url": "." }]));
}

#[tokio::test]
async fn the_document_is_json_that_a_tool_can_keep() {
    let response = call(openapi_routes(), sample_event("openapi")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let tag = response.headers()[header::ETAG].clone();
    let document: Value = serde_json::from_str(&text(response).await).unwrap();
    assert!(document["paths"]["/openapi.json"]["get"].is_object());

    let mut again = sample_event("openapi");
    again.headers_mut().insert(header::IF_NONE_MATCH, tag);
    let response = call(openapi_routes(), again).await;
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn the_page_loads_nothing_that_is_not_served_here() {
    let response = call(platform::docs::routes(), sample_event("docs")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let page = text(response).await;

    let mut loaded = 0;
    let addresses = page
        .split(['"'])
        .filter(|text| text.starts_with("docs/") || text.contains("//"));
    for address in addresses {
        let response = call(platform::docs::routes(), get(&format!("/{address}"))).await;
        assert_eq!(response.status(), StatusCode::OK, "{address}");
        assert!(response.headers().contains_key(header::ETAG), "{address}");
        assert!(!text(response).await.is_empty(), "{address}");
        loaded += 1;
    }
    assert!(loaded >= 5, "{page}");
}

#[tokio::test]
async fn the_page_runs_only_our_own_scripts() {
    for path in ["/docs", "/docs/page.js", "/docs/swagger-ui-bundle.js"] {
        let response = call(platform::docs::routes(), get(path)).await;
        let headers = response.headers();
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{path}");
    }
}

/// Lambda's answer is at most 6 MB of JSON, in which quotes and line ends take two bytes.
#[tokio::test]
async fn every_file_fits_into_an_answer_of_lambda() {
    const LIMIT: usize = 6 * 1024 * 1024;
    for file in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let response = call(platform::docs::routes(), get(&format!("/docs/{file}"))).await;
        let size = serde_json::to_string(&text(response).await).unwrap().len();
        assert!(size < LIMIT, "{file} takes {size} bytes");
    }
}

#[tokio::test]
async fn the_page_has_one_address() {
    for path in ["/docs/", "/clinic/docs/"] {
        let mut event = sample_event("docs");
        *event.uri_mut() = path.parse().unwrap();
        let response = call(platform::docs::routes(), event).await;
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT, "{path}");
        assert_eq!(response.headers()[header::LOCATION], "../docs");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_a_problem_document() {
    for path in ["/docs/nothing.js", "/docs/..%2Fpage.css"] {
        let response = call(platform::docs::routes(), get(path)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}

async fn preflight(origins: &str, request: Request<Body>) -> HeaderMap {
    let origins = AllowedOrigins::parse(origins);
    let routes = platform::unrouted::routes(origins);
    let response = call(routes, request).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    response.headers().clone()
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_call_every_route() {
    let listed = "http://localhost:3000, https://clinic.example";
    let headers = preflight(listed, sample_event("unrouted")).await;
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_ORIGIN],
        "http://localhost:3000"
    );
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_METHODS],
        "GET, POST, PUT, DELETE"
    );
    assert_eq!(
        headers[header::ACCESS_CONTROL_ALLOW_HEADERS],
        "Authorization, Content-Type, If-Match, Idempotency-Key, traceparent, \
         tracestate, baggage, sentry-trace, If-None-Match, X-Request-Id"
    );
    assert_eq!(headers[header::ACCESS_CONTROL_MAX_AGE], "600");
    assert_eq!(headers[header::VARY], "Origin");
    assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    for listed in ["", "https://clinic.example"] {
        let headers = preflight(listed, sample_event("unrouted")).await;
        let allowed = headers
            .keys()
            .any(|name| name.as_str().starts_with("access-control-allow"));
        assert!(!allowed, "{listed}: {headers:?}");
    }
}

#[tokio::test]
async fn every_path_has_a_preflight() {
    for path in ["/", "/auth/login", "/api/patients/1/billing-account"] {
        let request = Request::options(path)
            .header(header::ORIGIN, "https://clinic.example")
            .body(Body::empty())
            .unwrap();
        let headers = preflight("*", request).await;
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{path}");
        assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
    }
}

/// A request that the gateway has for this path of the template.
fn unrouted(method: &str, route: &str) -> Request<Body> {
    let mut context = ApiGatewayProxyRequestContext::default();
    context.resource_path = Some(route.to_owned());
    let request = Request::builder().method(method).uri("/any/path");
    let request = request.header(header::ORIGIN, "https://clinic.example");
    let request = request.body(Body::empty()).unwrap();
    request.with_request_context(RequestContext::ApiGatewayV1(context))
}

#[tokio::test]
async fn a_method_that_a_route_lacks_is_told_which_it_has() {
    for (method, route, allow) in [
        ("POST", "/health", "GET, HEAD, OPTIONS"),
        ("PATCH", "/api/patients", "GET, HEAD, OPTIONS, POST"),
        (
            "POST",
            "/api/patients/{id}",
            "DELETE, GET, HEAD, OPTIONS, PUT",
        ),
        ("GET", "/auth/login", "OPTIONS, POST"),
        ("HEAD", "/auth/login", "OPTIONS, POST"),
        ("PUT", "/docs/{file+}", "GET, HEAD, OPTIONS"),
    ] {
        let routes = || platform::unrouted::routes(AllowedOrigins::default());
        let response = call(routes(), unrouted(method, route)).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{route}");
        assert_eq!(response.headers()[header::ALLOW], allow, "{method} {route}");
        let text = text(response).await;
        assert_eq!(
            text.contains("method-not-allowed"),
            method != "HEAD",
            "{text}"
        );

        let options = call(routes(), unrouted("OPTIONS", route)).await;
        assert_eq!(options.headers()[header::ALLOW], allow, "{route}");
    }
}

#[tokio::test]
async fn a_path_that_is_none_is_not_found() {
    for route in ["/", "/{proxy+}"] {
        let routes = platform::unrouted::routes(AllowedOrigins::parse("*"));
        let response = call(routes, unrouted("GET", route)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{route}");
        assert!(!response.headers().contains_key(header::ALLOW));
        assert!(text(response).await.contains("not-found"), "{route}");
    }
}

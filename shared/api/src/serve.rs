//! From a router to a Lambda function.

use axum::{
    Extension, Router,
    body::HttpBody as _,
    extract::Request,
    middleware::{self, Next},
    response::Response,
};
use http::header;
use lambda_http::Adapter;
use lambda_runtime::{Runtime, layers::TracingLayer};
use store::with_tokens;
use tower::util::MapRequest;

use crate::{
    AllowedOrigins, ClinicTimeZone, IfMatchRule, Problem, ProblemType, TrustedProxies,
    event::as_sent,
    gateway::as_matched,
    observe::{Observed, observe},
};

/// The router within everything that our routes have in common. Pages of these origins may call it
/// from browsers.
pub fn around(function: &'static str, origins: AllowedOrigins, routes: Router) -> Router {
    let routes = routes
        .fallback(|| async { Problem::not_found("There is no such route") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                ProblemType::MethodNotAllowed,
                "The route does not have this method",
            )
        });
    #[cfg(feature = "postgres")]
    let routes = routes.layer(middleware::from_fn(crate::once_more::once_more));
    let routes = routes
        .layer(middleware::from_fn(refuse_encoded_body))
        .layer(middleware::from_fn_with_state(
            Observed { function, origins },
            observe,
        ));
    // Outside the router, because it changes the path that the router matches.
    let as_matched: fn(Request) -> Request = as_matched;
    Router::new().fallback_service(MapRequest::new(routes, as_matched))
}

/// Compressed bodies are rejected at once: "not JSON" would be a misleading error for them.
async fn refuse_encoded_body(request: Request, next: Next) -> Result<Response, Problem> {
    let encodings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_plain = encodings.iter().all(|encoding| {
        let encoding = encoding.as_bytes().trim_ascii();
        encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
    });
    if is_plain || request.body().is_end_stream() {
        return Ok(next.run(request).await);
    }
    Err(Problem::encoded_body())
}

/// The runtime of these routes. Its type cannot be written down.
macro_rules! runtime {
    ($function:ident, $routes:ident) => {{
        let service = Adapter::from(with_settings($function, $routes)?);
        let service = with_tokens(MapRequest::new(service, as_sent));
        Runtime::new(service).layer(TracingLayer::new())
    }};
}

/// Serves the routes as the Lambda function of this name until Lambda stops it.
///
/// # Errors
/// If a setting is invalid, or the Lambda runtime API cannot be reached.
pub async fn serve(function: &'static str, routes: Router) -> Result<(), lambda_http::Error> {
    runtime!(function, routes).run().await
}

/// The same for routes that leave work behind: it is done once the response is on its way.
///
/// # Errors
/// Those of [`serve`].
pub async fn serve_and_work_after(
    function: &'static str,
    routes: Router,
) -> Result<(), lambda_http::Error> {
    let runtime = runtime!(function, routes);
    let Some(extension) = after_answer::Extension::register().await else {
        return runtime.run().await;
    };
    let runtime = runtime.layer(extension.invocations());
    tokio::select! {
        ended = runtime.run() => ended,
        ended = extension.run() => ended,
    }
}

/// The routes with what the settings say about all of them.
fn with_settings(function: &'static str, routes: Router) -> Result<Router, lambda_http::Error> {
    let origins = AllowedOrigins::from_env();
    let routes = routes
        .layer(Extension(ClinicTimeZone::from_env()?))
        .layer(Extension(TrustedProxies::from_env()?))
        .layer(Extension(IfMatchRule::from_env()?));
    Ok(around(function, origins, routes))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::post};
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer_to(encodings: &[&str], body: &'static str) -> Response {
        let mut request = Request::post("/");
        for encoding in encodings {
            request = request.header(header::CONTENT_ENCODING, *encoding);
        }
        let routes = Router::new().route("/", post(|| async {}));
        let routes = around("test", AllowedOrigins::default(), routes);
        let request = request.body(Body::from(body)).unwrap();
        routes.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn compressed_bodies_are_rejected() {
        for plain in [&[][..], &["identity"], &["Identity"], &[""]] {
            let answer = answer_to(plain, "{}").await;
            assert_eq!(answer.status(), StatusCode::OK, "{plain:?}");
        }
        for encoded in [
            &["gzip"][..],
            &["x-gzip"],
            &["br"],
            &["deflate, gzip"],
            &["identity, gzip"],
            &["identity", "zstd"],
            &["unheard-of"],
        ] {
            let answer = answer_to(encoded, "{}").await;
            assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert_eq!(answer.headers()[header::ACCEPT_ENCODING], "identity");
            // An empty body is the same in every coding.
            assert_eq!(answer_to(encoded, "").await.status(), StatusCode::OK);
        }
    }
}

//! From a router to a Lambda function.

use std::time::Duration;

use axum::{Extension, Router, extract::Request, middleware};
use tower::util::MapRequest;

use crate::{
    AllowedOrigins, ClinicTimeZone, Problem, ProblemType,
    gateway::as_matched,
    observe::{Observed, observe},
};

/// How long a request may take before the client is told to try again. Below the 29
/// seconds after which API Gateway gives up with an answer of its own, and below the
/// functions' own time-out.
pub(crate) const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// The router with everything that each route of ours has in common, for browsers that
/// show pages of these origins.
pub fn layers(function: &'static str, origins: AllowedOrigins, routes: Router) -> Router {
    let routes = routes
        .fallback(|| async { Problem::not_found("There is no such route") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                ProblemType::MethodNotAllowed,
                "The route does not have this method",
            )
        });
    #[cfg(feature = "postgres")]
    let routes = routes.layer(middleware::from_fn(crate::outdated::once_more));
    let routes = routes
        .layer(middleware::from_fn_with_state(
            Observed { function, origins },
            observe,
        ));
    // Around the router, because it is about the path that the router goes by.
    let as_matched: fn(Request) -> Request = as_matched;
    Router::new().fallback_service(MapRequest::new(routes, as_matched))
}

/// Serves the routes as the Lambda function of this name, until Lambda stops it.
///
/// # Errors
/// If the deployment says what cannot be, or the Lambda runtime API cannot be reached.
pub async fn serve(function: &'static str, routes: Router) -> Result<(), lambda_http::Error> {
    let origins = AllowedOrigins::from_env();
    let routes = routes.layer(Extension(ClinicTimeZone::from_env()?));
    lambda_http::run(layers(function, origins, routes)).await
}

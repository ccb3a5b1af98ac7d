//! What API Gateway says about a request, beside the request itself.

use axum::extract::FromRequestParts;
use http::{Extensions, request::Parts};
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayProxyRequestContext, request::RequestContext,
};

/// API Gateway's context of the request; `None` where the request did not come through
/// API Gateway.
#[must_use]
pub fn request_context(extensions: &Extensions) -> Option<&ApiGatewayProxyRequestContext> {
    match extensions.get::<RequestContext>() {
        Some(RequestContext::ApiGatewayV1(context)) => Some(context),
        _ => None,
    }
}

/// Where the API can be reached, as the client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// What stands between the host and the route's own path, such as `/local`: the
    /// stage, and whatever the gateway puts before it.
    pub path_prefix: String,
}

impl<S: Sync> FromRequestParts<S> for Gateway {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let path = request_context(&parts.extensions).and_then(|context| context.path.as_deref());
        let path_prefix = path
            .and_then(|path| path.strip_suffix(parts.uri.path()))
            .unwrap_or_default()
            .to_owned();
        Ok(Self { path_prefix })
    }
}

//! What API Gateway says about a request, beside the request itself.

use http::Extensions;
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

//! The routes and triggers of the service, with a real PostgreSQL and DynamoDB, and Secrets Manager
//! behind real HTTP.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod accounts;
mod addresses;
mod attempts;
mod authorizer;
mod aws;
mod create_users;
mod fixtures;
mod login;
mod logout;
mod on_record;
mod passwords;
mod preconditions;
mod public_keys;
mod published;
mod queries;
mod refresh;
mod sample_events;
mod sessions;
mod validate_token;

use std::sync::LazyLock;

use schemas::{Service, together};
use sqlx::migrate::Migrator;

/// The service's schema and those whose published functions it calls.
static SCHEMAS: LazyLock<Migrator> = LazyLock::new(|| together([Service::Auth, Service::Audit]));

use std::time::Duration;

use axum::{Router, body::Body, response::Response};
use http::Request;
use http_body_util::BodyExt as _;
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayProxyRequestContext, request::RequestContext,
};
use serde_json::Value;
use tower::ServiceExt as _;

/// Sends the request to a function that serves these routes.
async fn send(routes: &Router, request: Request<Body>) -> Response {
    let function = api::around("test", api::AllowedOrigins::default(), routes.clone());
    function.oneshot(request).await.unwrap()
}

/// The request as API Gateway passes it on, coming from this address.
fn from_source(mut request: Request<Body>, address: &str) -> Request<Body> {
    let mut context = ApiGatewayProxyRequestContext::default();
    context.identity.source_ip = Some(address.to_owned());
    let context = RequestContext::ApiGatewayV1(context);
    request.extensions_mut().insert(context);
    request
}

/// Asserts that both take the same time, by the shortest of many runs: any other load on the
/// machine only makes runs longer. A longer spell of load has passed by one of the next rounds; a
/// real difference shows in all of them.
async fn take_the_same_time(one: impl AsyncFn() -> Duration, other: impl AsyncFn() -> Duration) {
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let (mut of_one, mut of_other) = (Duration::MAX, Duration::MAX);
        for _ in 0..21 {
            of_one = of_one.min(one().await);
            of_other = of_other.min(other().await);
        }
        let ratio = of_one.as_secs_f64() / of_other.as_secs_f64();
        if (0.7..1.4).contains(&ratio) {
            return;
        }
        ratios.push(ratio);
    }
    panic!("one takes longer than the other, by these ratios: {ratios:?}");
}

async fn json(response: Response) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

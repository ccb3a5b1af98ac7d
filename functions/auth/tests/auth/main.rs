//! The routes and triggers of the service, on a real PostgreSQL and DynamoDB, and with Secrets
//! Manager and Parameter Store behind real HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authorizer;
mod aws;
mod create_users;
mod fixtures;
mod forged_tokens;
mod login;
mod logout;
mod public_keys;
mod refresh;
mod sample_events;
mod sessions;
mod validate_token;

use axum::{Router, body::Body, response::Response};
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

/// Sends the request to the function that serves these routes.
async fn send(routes: &Router, request: Request<Body>) -> Response {
    let function = api::layers("test", api::AllowedOrigins::default(), routes.clone());
    function.oneshot(request).await.unwrap()
}

async fn json(response: Response) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

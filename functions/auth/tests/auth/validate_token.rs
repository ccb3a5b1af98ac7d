use auth::validate_token;
use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use identity::Role;
use uuid::Uuid;

use crate::{
    aws::{Aws, Key},
    forged_tokens::forged_tokens,
    json, send,
};

async fn validate(routes: &Router, authorizations: &[&str]) -> Response {
    let mut request = Request::get("/auth/validate").body(Body::empty()).unwrap();
    for authorization in authorizations {
        let value = HeaderValue::from_bytes(authorization.as_bytes()).unwrap();
        request.headers_mut().append(header::AUTHORIZATION, value);
    }
    send(routes, request).await
}

#[tokio::test]
async fn a_valid_token_says_whose_it_is() {
    let key = Key::generate();
    let aws = Aws::with(&key).await;
    let routes = validate_token::routes(aws.public_keys());
    let user = Uuid::now_v7();
    let token = key.tokens.issue(user, Role::Auditor).unwrap();

    for scheme in ["Bearer", "bearer"] {
        let response = validate(&routes, &[&format!("{scheme} {token}")]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer = json(response).await;
        assert_eq!(answer["sub"], user.to_string());
        assert_eq!(answer["role"], "AUDITOR");
        let lifetime = answer["exp"].as_i64().unwrap() - answer["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 900);
    }
    assert_eq!(aws.reads(), 1);
}

#[tokio::test]
async fn what_is_no_valid_token_is_refused() {
    let key = Key::generate();
    let routes = validate_token::routes(Aws::with(&key).await.public_keys());
    let token = key.tokens.issue(Uuid::now_v7(), Role::Admin).unwrap();
    let bearer = format!("Bearer {token}");

    let no_tokens: [&[&str]; 7] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[&token],
        &[&format!("Basic {token}")],
        &[&bearer, &bearer],
    ];
    for headers in no_tokens {
        refused(validate(&routes, headers).await, &format!("{headers:?}")).await;
    }
    for (attack, token) in forged_tokens(&key) {
        let Ok(header) = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()) else {
            continue;
        };
        let mut request = Request::get("/auth/validate").body(Body::empty()).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, header);
        refused(send(&routes, request).await, &attack).await;
    }
    assert_eq!(validate(&routes, &[&bearer]).await.status(), StatusCode::OK);
}

async fn refused(response: Response, attempt: &str) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{attempt}");
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let problem = json(response).await;
    assert_eq!(
        problem["detail"], "A valid access token is required",
        "{attempt}"
    );
}

#[tokio::test]
async fn without_public_keys_no_token_is_accepted() {
    let key = Key::generate();
    let aws = Aws::empty().await;
    let routes = validate_token::routes(aws.public_keys());
    let bearer = format!(
        "Bearer {}",
        key.tokens.issue(Uuid::now_v7(), Role::Admin).unwrap()
    );

    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    aws.store_parameter("{\"keys\": \"none\"}");
    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    aws.store_parameter("{\"keys\": []}");
    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

use auth::{bearer_token::Gate, validate_token};
use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use identity::{Role, testing::Forger};
use uuid::Uuid;

use crate::{
    fixtures::{Deployment, no_sessions},
    json,
    published::Published,
    send,
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
async fn validate_token_returns_the_claims_of_a_valid_token() {
    let deployment = Deployment::new().await;
    let routes = validate_token::routes(deployment.gate().await);
    let user = Uuid::now_v7();
    let running = deployment.begin(user).await;
    let tokens = &deployment.key.tokens;
    let token = tokens.issue(user, Role::Auditor, running.session).unwrap();

    // The keys are read once.
    for scheme in ["Bearer", "bearer"] {
        let response = validate(&routes, &[&format!("{scheme} {token}")]).await;
        assert_eq!(response.status(), StatusCode::OK);
        let answer = json(response).await;
        assert_eq!(answer["sub"], user.to_string());
        assert_eq!(answer["role"], "AUDITOR");
        assert_eq!(answer["sid"], running.session.to_string());
        let lifetime = answer["exp"].as_i64().unwrap() - answer["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 900);
        deployment.published.write("no keys").await;
    }

    deployment
        .sessions()
        .await
        .end(running.session)
        .await
        .unwrap();
    let response = validate(&routes, &[&format!("Bearer {token}")]).await;
    refused(response, "of a session that has ended").await;
}

#[tokio::test]
async fn validate_token_rejects_invalid_tokens() {
    let deployment = Deployment::new().await;
    let routes = validate_token::routes(deployment.gate().await);
    let user = Uuid::now_v7();
    let forger = Forger {
        key: &deployment.key,
        user,
        session: deployment.begin(user).await.session,
    };
    let token = forger.untwisted();
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
    for (attack, token) in forger.tokens() {
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
async fn validate_token_accepts_no_token_without_public_keys_or_sessions() {
    let deployment = Deployment::new().await;
    let published = Published::nothing().await;
    let gate = Gate::new(published.keys().await, deployment.sessions().await);
    let routes = validate_token::routes(gate);
    let token = deployment.token(Uuid::now_v7(), Role::Admin).await;
    let bearer = format!("Bearer {token}");

    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    published.write("{\"keys\": \"none\"}").await;
    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    published.write("{\"keys\": []}").await;
    let response = validate(&routes, &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);

    let gate = Gate::new(deployment.published.keys().await, no_sessions());
    let response = validate(&validate_token::routes(gate), &[&bearer]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

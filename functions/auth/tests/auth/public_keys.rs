use std::time::Duration;

use auth::{bearer_token::Gate, json_web_keys, keys_in_aws::PublicKeysParameter, validate_token};
use axum::body::Body;
use http::{Request, StatusCode, header};
use identity::{PublicKeys, Role, testing::Key};
use uuid::Uuid;

use crate::{
    aws::Aws,
    fixtures::{Deployment, no_sessions},
    json, send,
};

#[tokio::test]
async fn everybody_may_have_the_public_keys_and_keep_them() {
    let (old, new) = (Key::generate(), Key::generate());
    let aws = Aws::with(&old).await;
    let both = old.public.clone().and(new.public.clone());
    aws.store_parameter(&both.to_json());

    let routes = json_web_keys::routes(aws.public_keys());
    let request = || {
        Request::get("/auth/.well-known/jwks.json")
            .body(Body::empty())
            .unwrap()
    };
    let response = send(&routes, request()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[header::CACHE_CONTROL],
        "public, max-age=300"
    );
    let set = json(response).await;
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    assert!(
        set["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key.get("d").is_none())
    );

    let published = PublicKeys::from_json(&set.to_string()).unwrap();
    for key in [old, new] {
        let token = key
            .tokens
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        assert!(identity::verify(&token, &published).is_ok());
    }
    aws.lose_everything();
    assert_eq!(send(&routes, request()).await.status(), StatusCode::OK);
    assert_eq!(aws.reads(), 1);
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_not_an_empty_set() {
    let routes = json_web_keys::routes(Aws::empty().await.public_keys());
    let request = Request::get("/auth/.well-known/jwks.json").body(Body::empty());
    let response = send(&routes, request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
}

/// What the token of a session is answered, before and after the rotation.
async fn status_of(
    deployment: &Deployment,
    key: &Key,
    public_keys: PublicKeysParameter,
    rotate: impl FnOnce(),
) -> [StatusCode; 2] {
    let routes = validate_token::routes(Gate::new(public_keys, deployment.sessions().await));
    let user = Uuid::now_v7();
    let session = deployment.begin(user).await.session;
    let token = key.tokens.issue(user, Role::Admin, session).unwrap();
    let validate = async || {
        let request = Request::get("/auth/validate")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        send(&routes, request.unwrap()).await.status()
    };
    let before = validate().await;
    rotate();
    [before, validate().await]
}

#[tokio::test]
async fn a_new_key_is_found_with_its_first_token() {
    let deployment = Deployment::new().await;
    let (old, new, aws) = (&deployment.key, Key::generate(), &deployment.aws);
    let public_keys = aws.public_keys().with_pause(Duration::ZERO);
    let rotate = || aws.store_parameter(&old.public.clone().and(new.public.clone()).to_json());
    let statuses = status_of(&deployment, &new, public_keys, rotate).await;
    assert_eq!(statuses, [StatusCode::UNAUTHORIZED, StatusCode::OK]);
}

#[tokio::test]
async fn unknown_keys_do_not_make_us_ask_with_every_token() {
    let aws = Aws::with(&Key::generate()).await;
    let public_keys = aws.public_keys().with_pause(Duration::from_hours(1));
    let routes = validate_token::routes(Gate::new(public_keys, no_sessions()));
    for _ in 0..10 {
        let token = Key::generate()
            .tokens
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        let request = Request::get("/auth/validate")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        let response = send(&routes, request.unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(aws.reads(), 1);
}

#[tokio::test]
async fn an_unknown_key_is_not_called_invalid_while_nobody_can_tell() {
    let deployment = Deployment::new().await;
    let aws = &deployment.aws;
    let public_keys = aws.public_keys().with_pause(Duration::ZERO);
    let lose = || aws.lose_everything();
    let statuses = status_of(&deployment, &Key::generate(), public_keys, lose).await;
    assert_eq!(
        statuses,
        [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE]
    );
}

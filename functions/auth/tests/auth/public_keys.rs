use std::time::Duration;

use auth::{bearer_token::Gate, json_web_keys, keys_in_aws::PublicKeysTable, validate_token};
use axum::body::Body;
use http::{Request, StatusCode, header};
use identity::{PublicKeys, Role, testing::Key};
use uuid::Uuid;

use crate::{
    fixtures::{Deployment, no_sessions},
    json,
    published::Published,
    send,
};

#[tokio::test]
async fn the_public_keys_can_be_read_and_cached_by_anybody() {
    let (old, new) = (Key::generate(), Key::generate());
    let published = Published::nothing().await;
    let both = old.public.clone().and(new.public.clone());
    published.publish(&both).await;

    let routes = json_web_keys::routes(published.keys().await);
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

    let set = PublicKeys::from_json(&set.to_string()).unwrap();
    for key in [old, new] {
        let token = key
            .tokens
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        assert!(identity::verify(&token, &set).is_ok());
    }
    published.lose().await;
    assert_eq!(send(&routes, request()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn unreadable_public_keys_are_not_served_as_an_empty_set() {
    let (empty, lost) = (Published::nothing().await, Published::nothing().await);
    lost.lose().await;
    for published in [empty, lost] {
        let routes = json_web_keys::routes(published.keys().await);
        let request = Request::get("/auth/.well-known/jwks.json").body(Body::empty());
        let response = send(&routes, request.unwrap()).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    }
}

/// The responses to a token of a session, before and after the rotation.
async fn status_of(
    deployment: &Deployment,
    key: &Key,
    public_keys: PublicKeysTable,
    rotate: impl Future<Output = ()>,
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
    rotate.await;
    [before, validate().await]
}

#[tokio::test]
async fn a_new_key_is_found_when_its_first_token_arrives() {
    let deployment = Deployment::new().await;
    let (old, new, published) = (&deployment.key, Key::generate(), &deployment.published);
    let public_keys = published.keys().await.with_pause(Duration::ZERO);
    let both = old.public.clone().and(new.public.clone());
    let rotate = Box::pin(published.publish(&both));
    let statuses = status_of(&deployment, &new, public_keys, rotate).await;
    assert_eq!(statuses, [StatusCode::UNAUTHORIZED, StatusCode::OK]);
}

#[tokio::test]
async fn unknown_keys_do_not_cause_a_read_with_every_token() {
    let published = Published::with(&Key::generate()).await;
    let keys = published.keys().await.with_pause(Duration::from_hours(1));
    let routes = validate_token::routes(Gate::new(keys, no_sessions()));
    for _ in 0..3 {
        let key = Key::generate();
        let token = key
            .tokens
            .issue(Uuid::now_v7(), Role::Admin, Uuid::new_v4())
            .unwrap();
        let request = Request::get("/auth/validate")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        let response = send(&routes, request.unwrap()).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        // Reading the keys again would fail.
        published.write("no keys").await;
    }
}

#[tokio::test]
async fn a_token_with_an_unknown_key_is_not_called_invalid_while_the_keys_are_unavailable() {
    let deployment = Deployment::new().await;
    let published = &deployment.published;
    let public_keys = published.keys().await.with_pause(Duration::ZERO);
    let lose = Box::pin(published.lose());
    let statuses = status_of(&deployment, &Key::generate(), public_keys, lose).await;
    assert_eq!(
        statuses,
        [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE]
    );
}

//! The sample events that developers invoke the functions with.

use std::{fs, path::Path};

use auth::{
    authorizer::authorize,
    change_password, create_account,
    create_users::{PasswordRules, create_users},
    forgotten_password, get_account, get_own_account, json_web_keys, list_accounts, login, logout,
    logout_all, refresh, set_password, update_account, validate_token,
};
use axum::{Router, body::Body};
use http::{Request, StatusCode};
use serde_json::Value;
use sqlx::PgPool;

use crate::{fixtures::Deployment, json, send};

fn event(function: &str) -> String {
    let path = format!("../../events/{function}.json");
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn request(event: &str) -> Request<Body> {
    let request = lambda_http::request::from_str(event).unwrap();
    request.map(|body| Body::from(body.to_vec()))
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_sample_events_of_all_functions_work_with_the_sample_user(database: PgPool) {
    let deployment = Deployment::new().await;
    let users: Value = serde_json::from_str(&event("create-users")).unwrap();
    assert_eq!(
        create_users(&database, PasswordRules::Demo, users)
            .await
            .unwrap()
            .created,
        1
    );

    let attempts = || deployment.attempts();
    let login = login::routes(
        database.clone(),
        deployment.access().await,
        attempts().await,
    );
    let response = send(&login, request(&event("login"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer = json(response).await;
    let token = answer["token"].as_str().unwrap().to_owned();

    let validate = validate_token::routes(deployment.gate().await);
    let placeholder = event("validate-token");
    let response = send(&validate, request(&placeholder)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let filled_in = placeholder.replace("put-the-token-of-a-login-here", &token);
    let response = send(&validate, request(&filled_in)).await;
    assert_eq!(response.status(), StatusCode::OK);

    let filled_in = event("authorizer").replace("put-the-token-of-a-login-here", &token);
    let authorizer_request = serde_json::from_str(&filled_in).unwrap();
    let response = authorize(&authorizer_request, &deployment.gate().await).await;
    assert_eq!(response.unwrap().context["role"], "ADMIN");

    let keys = json_web_keys::routes(deployment.published.keys().await);
    let response = send(&keys, request(&event("json-web-keys"))).await;
    assert_eq!(response.status(), StatusCode::OK);

    let refresh = refresh::routes(database.clone(), deployment.access().await);
    let placeholder = event("refresh");
    let response = send(&refresh, request(&placeholder)).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let refresh_token = answer["refreshToken"].as_str().unwrap();
    let filled_in = placeholder.replace("put-the-refresh-token-of-a-login-here", refresh_token);
    let response = send(&refresh, request(&filled_in)).await;
    assert_eq!(response.status(), StatusCode::OK);

    for (name, routes) in [
        (
            "logout",
            logout::routes(database.clone(), deployment.sessions().await),
        ),
        (
            "logout-all",
            logout_all::routes(database.clone(), deployment.sessions().await),
        ),
    ] {
        let response = send(&routes, request(&event(name))).await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{name}");
    }

    deployment.log_in_the_caller(&database).await;
    let accounts = Router::new()
        .merge(create_account::routes(
            database.clone(),
            deployment.sessions().await,
        ))
        .merge(list_accounts::routes(database.clone()))
        .merge(get_account::routes(database.clone()))
        .merge(get_own_account::routes(database.clone()))
        .merge(update_account::routes(
            database.clone(),
            deployment.sessions().await,
        ))
        .merge(change_password::routes(
            database.clone(),
            deployment.sessions().await,
            attempts().await,
        ))
        .merge(forgotten_password::routes(
            database.clone(),
            attempts().await,
        ))
        .merge(set_password::routes(
            database,
            deployment.sessions().await,
            attempts().await,
        ));
    for (name, status) in [
        ("create-account", StatusCode::CREATED),
        ("list-accounts", StatusCode::OK),
        ("get-account", StatusCode::NOT_FOUND),
        ("get-own-account", StatusCode::OK),
        ("update-account", StatusCode::NOT_FOUND),
        ("forgotten-password", StatusCode::ACCEPTED),
        // The sample cannot contain a real session or token.
        ("change-password", StatusCode::UNAUTHORIZED),
        ("set-password", StatusCode::BAD_REQUEST),
    ] {
        let response = send(&accounts, request(&event(name))).await;
        assert_eq!(response.status(), status, "{name}");
    }
}

//! An update of an account may name the version that it is based on, and must do so if the
//! deployment requires it.

use api::IfMatchRule;
use auth::update_account;
use axum::{Extension, Router, body::Body};
use http::{Request, StatusCode, header};
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{fixtures::Deployment, json, send};

async fn account(database: &PgPool) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO auth.user_account (id, email, role) VALUES ($1, $2, 'AUDITOR')")
        .bind(id)
        .bind(format!("{id}@clinic.example"))
        .execute(database)
        .await
        .unwrap();
    id
}

/// Changes nothing but the account's version.
async fn change(routes: &Router, id: Uuid, if_match: &[&str]) -> (StatusCode, Value) {
    let mut request = Request::put(format!("/api/accounts/{id}"))
        .header(header::CONTENT_TYPE, "application/json");
    for tag in if_match {
        request = request.header(header::IF_MATCH, *tag);
    }
    let body = json!({ "role": "AUDITOR", "disabled": false }).to_string();
    let request = as_caller(request.body(Body::from(body)).unwrap(), Role::Admin);
    let response = send(routes, request).await;
    (response.status(), json(response).await)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn if_match_accepts_only_the_exact_entity_tag(database: PgPool) {
    let deployment = Deployment::new().await;
    deployment.log_in_the_caller(&database).await;
    let routes = update_account::routes(database.clone(), deployment.sessions().await);
    let id = account(&database).await;
    for other in ["\"01\"", "\"+1\"", "\"2\""] {
        let (status, _) = change(&routes, id, &[other]).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{other}");
    }
    for malformed in [&["1"][..], &["\"1"], &[""], &["\"1\"", "\"1\""]] {
        let (status, problem) = change(&routes, id, malformed).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{malformed:?}");
        assert!(problem["errors"]["If-Match"].is_string(), "{problem}");
    }
    for (version, tag) in [(2, "W/\"1\""), (3, "\"2\""), (4, "*")] {
        let (status, account) = change(&routes, id, &[tag]).await;
        assert_eq!(status, StatusCode::OK, "{tag}");
        assert_eq!(account["version"], version);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_deployment_can_require_if_match_for_every_update(database: PgPool) {
    let deployment = Deployment::new().await;
    deployment.log_in_the_caller(&database).await;
    let routes = update_account::routes(database.clone(), deployment.sessions().await);
    let id = account(&database).await;
    assert_eq!(change(&routes, id, &[]).await.0, StatusCode::OK);
    let routes = routes.layer(Extension(IfMatchRule::Required));
    let (status, problem) = change(&routes, id, &[]).await;
    assert_eq!(status, StatusCode::PRECONDITION_REQUIRED, "{problem}");
    assert_eq!(change(&routes, id, &["\"2\""]).await.0, StatusCode::OK);
}

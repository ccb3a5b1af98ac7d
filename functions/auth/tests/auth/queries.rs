//! Errors in a query are reported like errors in a body.

use auth::list_accounts;
use axum::body::Body;
use http::{Request, StatusCode};
use identity::{Role, testing::as_caller};
use serde_json::Value;
use sqlx::PgPool;

use crate::{json, send};

async fn get(database: &PgPool, query: &str) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/accounts{query}"));
    let request = as_caller(request.body(Body::empty()).unwrap(), Role::Admin);
    let response = send(&list_accounts::routes(database.clone()), request).await;
    (response.status(), json(response).await)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn listing_accounts_names_an_invalid_parameter(database: PgPool) {
    for (query, parameter) in [
        ("?limit=0", "limit"),
        ("?limit=05", "limit"),
        ("?limit=1&limit=2", "limit"),
        ("?cursor=abc", "cursor"),
        ("?cursor=e30", "cursor"),
        ("?role=ADMIN", "role"),
        ("?Limit=2", "Limit"),
    ] {
        let (status, problem) = get(&database, query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            problem["errors"][parameter].is_string(),
            "{query}: {problem}"
        );
    }
    let (status, _) = get(&database, "?limit=&cursor=").await;
    assert_eq!(status, StatusCode::OK);
}

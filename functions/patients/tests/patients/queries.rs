//! Errors in a query are reported like errors in a body.

use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::fixtures::{Call, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_parameter_is_named(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (query, parameter) in [
        ("limit=0", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=05", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=%FF", "cursor"),
        // A UUID in another spelling than ours, encoded as a cursor.
        (
            "cursor=InVybjp1dWlkOjAwMDAwMDAwLTAwMDAtMDAwMC0wMDAwLTAwMDAwMDAwMDAwMCI",
            "cursor",
        ),
        ("page=2", "page"),
        ("Limit=2", "Limit"),
        ("name=Zo%C3%AB&limit=2", "name"),
    ] {
        let path = format!("/api/patients?{query}");
        let refused = admin.send(Method::GET, &path, None).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        let said = &refused.body["errors"][parameter];
        assert!(said.is_string(), "{query}: {}", refused.body);
        assert!(
            !refused.body.to_string().contains("deserialize"),
            "{}",
            refused.body
        );
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn routes_without_parameters_reject_every_parameter(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let path = format!("/api/patients/{id}?dryRun=true");
    for (method, path, body) in [
        (Method::GET, &*path, None),
        (Method::PUT, &path, Some(zoe())),
        (Method::DELETE, &path, None),
        (Method::POST, "/api/patients?dryRun=true", Some(zoe())),
    ] {
        let refused = admin.send(method, path, body.as_ref()).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
        assert!(
            refused.body["errors"]["dryRun"].is_string(),
            "{}",
            refused.body
        );
    }
}

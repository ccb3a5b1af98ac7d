//! A function that serves one request after the other holds one of the server's connections.

use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::fixtures::{Call, with, zoe};

/// By which the server tells the connections of the function from those of the test.
const FUNCTION: &str = "a-function-with-one-connection";

async fn connections(database: &PgPool) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = $1 AND datname = current_database()",
    )
    .bind(FUNCTION)
    .fetch_one(database)
    .await
    .unwrap()
}

/// The pool of a function, as on Lambda.
fn function(database: &PgPool) -> PgPool {
    let options = database.connect_options().as_ref().clone();
    store::pool_of(options.application_name(FUNCTION))
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_warm_function_has_one_connection(database: PgPool) {
    let warm = function(&database);
    let call = Call::as_admin(&warm);
    let mut ids = Vec::new();
    for number in 0..3 {
        let email = format!("zoe.{number}@clinic.example");
        ids.push(call.created(&with(zoe(), "email", email)).await);
        assert_eq!(connections(&database).await, 1, "created");
    }
    let key = Call {
        key: Some("once"),
        ..call
    };
    let taken = with(zoe(), "email", "zoe.0@clinic.example");
    for (expected, method, path, body) in [
        (200, Method::GET, format!("/api/patients/{}", ids[0]), None),
        (200, Method::GET, "/api/patients".to_owned(), None),
        (
            200,
            Method::GET,
            "/api/patients?sort=name&limit=2".to_owned(),
            None,
        ),
        (200, Method::GET, "/api/patients?q=zoe".to_owned(), None),
        (
            404,
            Method::GET,
            "/api/patients/0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa".to_owned(),
            None,
        ),
        (409, Method::POST, "/api/patients".to_owned(), Some(taken)),
        (
            200,
            Method::PUT,
            format!("/api/patients/{}", ids[1]),
            Some(zoe()),
        ),
        (
            204,
            Method::DELETE,
            format!("/api/patients/{}", ids[2]),
            None,
        ),
        (
            201,
            Method::POST,
            "/api/patients".to_owned(),
            Some(with(zoe(), "email", "1@clinic.example")),
        ),
        (
            201,
            Method::POST,
            "/api/patients".to_owned(),
            Some(with(zoe(), "email", "1@clinic.example")),
        ),
        (200, Method::GET, format!("/api/patients/{}", ids[0]), None),
    ] {
        let answer = key.send(method.clone(), &path, body.as_ref()).await;
        let expected = StatusCode::from_u16(expected).unwrap();
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.body);
        assert_eq!(connections(&database).await, 1, "{method} {path}");
    }
}

/// Whoever does not get the connection in time gets another one.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn work_that_is_left_over_holds_nobody_up(database: PgPool) {
    let warm = function(&database);
    let call = Call::as_admin(&warm);
    let id = call.created(&zoe()).await;
    let left_over = warm.begin().await.unwrap();
    let path = format!("/api/patients/{id}");
    let answer = call.send(Method::GET, &path, None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(connections(&database).await, 2);
    left_over.rollback().await.unwrap();
}

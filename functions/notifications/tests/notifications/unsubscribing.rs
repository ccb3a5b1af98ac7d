//! Patients opt out without logging in.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use notifications::{preferences::Preferences, unsubscribe};
use sqlx::PgPool;
use store::Transaction;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::fixtures::register;

const TOKEN: &str = "abcdefghijklmnopqrstuw";

async fn token(database: &PgPool, patient: Uuid) {
    sqlx::query(
        "INSERT INTO notifications.unsubscribe_token (token, patient_id, kind, channel)
         VALUES ($1, $2, 'APPOINTMENT_REMINDER', 'EMAIL')",
    )
    .bind(TOKEN)
    .bind(patient)
    .execute(database)
    .await
    .unwrap();
}

async fn send(database: &PgPool, method: Method, token: &str) -> (StatusCode, String) {
    let routes = unsubscribe::routes(database.clone());
    // As a mail program does.
    let request = Request::builder()
        .method(method)
        .uri(format!("/unsubscribe/{token}"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("List-Unsubscribe=One-Click"))
        .unwrap();
    let response = api::around("unsubscribe", api::AllowedOrigins::default(), routes)
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn preferences(database: &PgPool, patient: Uuid) -> Preferences {
    let mut transaction = Transaction::begin(database).await.unwrap();
    Preferences::of(patient, &mut transaction).await.unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn looking_changes_nothing(database: PgPool) {
    let patient = register(&database, false).await;
    token(&database, patient).await;
    let (status, page) = send(&database, Method::GET, TOKEN).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("<form method=\"post\">"), "{page}");
    assert!(!page.contains("Zoë"), "{page}");
    assert_eq!(
        preferences(&database, patient).await,
        Preferences::default()
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn one_click_opts_out_and_a_second_one_changes_nothing(database: PgPool) {
    let patient = register(&database, false).await;
    token(&database, patient).await;
    for _ in 0..2 {
        let (status, page) = send(&database, Method::POST, TOKEN).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        assert!(!page.contains("<form"), "{page}");
        let preferences = preferences(&database, patient).await;
        assert_eq!((preferences.version, preferences.opt_outs.len()), (1, 1));
    }
    let on_record: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record WHERE patient_ids = ARRAY[$1] AND actor_id IS NULL
         AND action = 'CHANGE_NOTIFICATION_PREFERENCES' AND outcome = 'SUCCEEDED'",
    )
    .bind(patient)
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(on_record, 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unknown_token_is_not_found(database: PgPool) {
    for token in ["zzzzzzzzzzzzzzzzzzzzzw", "a", "%00", "%27"] {
        for method in [Method::GET, Method::POST] {
            let (status, body) = send(&database, method, token).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{token}: {body}");
        }
    }
}

//! What messages about appointments say.

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use notifications::{
    change_notification_template, get_notification_template, preview_notification_template,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;

const SMS: &str = "/api/notification-templates/APPOINTMENT_REMINDER/en/SMS";

fn routes(database: &PgPool) -> Router {
    let routes = get_notification_template::routes(database.clone())
        .merge(change_notification_template::routes(database.clone()))
        .merge(preview_notification_template::routes());
    api::around("templates", api::AllowedOrigins::default(), routes)
}

async fn send(
    database: &PgPool,
    (method, path): (Method, &str),
    if_match: &str,
    body: Option<&Value>,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if body.is_some() {
        request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, if_match);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = as_caller(request.body(body).unwrap(), Role::Admin);
    let response = routes(database).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap(),
    )
}

async fn get(database: &PgPool, path: &str) -> (StatusCode, HeaderMap, Value) {
    send(database, (Method::GET, path), "", None).await
}

async fn put(database: &PgPool, path: &str, if_match: &str, body: &Value) -> (StatusCode, Value) {
    let (status, _, body) = send(database, (Method::PUT, path), if_match, Some(body)).await;
    (status, body)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_built_in_template_is_version_0(database: PgPool) {
    let (status, headers, body) = get(&database, SMS).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(headers[header::ETAG], "\"0\"");
    assert_eq!(
        (&body["version"], &body["subject"]),
        (&json!(0), &Value::Null)
    );
    let preview = body["preview"]["text"].as_str().unwrap();
    assert!(
        preview.contains("Monday 30 March 2026, 09:00, Main building"),
        "{preview}"
    );
    assert!(body["variables"]["date"].is_string(), "{body}");

    let german = "/api/notification-templates/APPOINTMENT_MOVED/de/EMAIL";
    let (_, _, body) = get(&database, german).await;
    let subject = body["preview"]["subject"].as_str().unwrap();
    assert_eq!(
        subject,
        "Ihr Termin ist jetzt am Montag, 30. März 2026: Example Clinic"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_version_is_kept_and_the_last_one_counts(database: PgPool) {
    let (_, _, mut template) = get(&database, SMS).await;
    for version in 1..=2 {
        template["text"] = json!(format!("{version}: {{{{ date }}}}"));
        let tag = format!("\"{}\"", version - 1);
        let (status, stored) = put(&database, SMS, &tag, &template).await;
        assert_eq!(status, StatusCode::OK, "{stored}");
        assert_eq!(stored["version"], version);
        let text = format!("{version}: Monday 30 March 2026");
        assert_eq!(stored["preview"]["text"], text);
        let (_, headers, read) = get(&database, SMS).await;
        assert_eq!(read, stored);
        assert_eq!(headers[header::ETAG], format!("\"{version}\""));
    }
    let (status, _) = put(&database, SMS, "\"1\"", &template).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let kept: Vec<String> =
        sqlx::query_scalar("SELECT text FROM notifications.template ORDER BY version")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(kept, ["1: {{ date }}", "2: {{ date }}"]);
    let on_record: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit.record
         WHERE action = 'CHANGE_NOTIFICATION_TEMPLATE' AND outcome = 'SUCCEEDED'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(on_record, 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_language_without_a_template_may_get_one(database: PgPool) {
    let french = "/api/notification-templates/APPOINTMENT_REMINDER/fr/EMAIL";
    let (status, _, _) = get(&database, french).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let template = json!({ "subject": "Rappel : {{ date }}", "text": "{{ location }}" });
    let (status, body) = put(&database, french, "\"0\"", &template).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["preview"]["subject"], "Rappel : 2026-03-30");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_preview_saves_nothing(database: PgPool) {
    let path = format!("{SMS}/preview");
    let post = |text: &str| {
        let body = json!({ "text": text });
        let (database, path) = (database.clone(), path.clone());
        async move { send(&database, (Method::POST, &path), "*", Some(&body)).await }
    };
    let (status, _, body) = post("At {{ time }}").await;
    assert_eq!(
        (status, body),
        (
            StatusCode::OK,
            json!({ "subject": null, "text": "At 09:00" })
        )
    );
    let (status, _, body) = post("At {{ tme }}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["errors"]["text"].is_string(), "{body}");
    let (_, _, body) = get(&database, SMS).await;
    assert_eq!(body["version"], 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_path_or_template_is_named(database: PgPool) {
    for (path, parameter) in [
        ("WELCOME/en/EMAIL", "kind"),
        ("APPOINTMENT_MOVED/EN/EMAIL", "language"),
        ("APPOINTMENT_MOVED/en/FAX", "channel"),
        ("APPOINTMENT_MOVED/en/SMS?a=b", "a"),
    ] {
        let (status, _, body) =
            get(&database, &format!("/api/notification-templates/{path}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body["errors"][parameter].is_string(), "{path}: {body}");
    }
    let email = "/api/notification-templates/APPOINTMENT_MOVED/en/EMAIL";
    let unknown = json!({ "subject": null, "text": "{{ service }}" });
    let (status, body) = put(&database, email, "*", &unknown).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    for field in ["subject", "text"] {
        assert!(body["errors"][field].is_string(), "{body}");
    }
}

//! A body is a JSON object with the expected fields, or the response says what is wrong with it.

use axum::http::{Method, StatusCode};
use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Answer, Call, with, zoe};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

async fn post(database: &PgPool, body: impl Into<String>) -> Answer {
    let admin = Call::as_admin(database);
    admin
        .send_as_is(Method::POST, "/api/patients", &JSON, body.into())
        .await
}

#[track_caller]
fn assert_names(refused: &Answer, field: &str) {
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    assert!(
        refused.body["errors"][field].is_string(),
        "{}",
        refused.body
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_body_that_is_not_an_object_is_rejected(database: PgPool) {
    let admin = Call::as_admin(&database);
    let list = json!(["Name", "e@x.example", "addr", "1980-01-01", null]);
    assert_eq!(admin.create(&list).await.status, StatusCode::BAD_REQUEST);
    let id = admin.created(&zoe()).await;
    let restriction = format!("/api/patients/{id}/restriction");
    for body in [json!([true]), json!(true), json!(null), json!("restricted")] {
        let refused = admin.send(Method::PUT, &restriction, Some(&body)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(refused.body["detail"], "The body must be a JSON object");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_body_nested_deeper_than_32_levels_is_rejected(database: PgPool) {
    for depth in [33, 127, 30_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let refused = post(&database, format!("{{\"id\":{deep}}}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{depth}");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains("32"), "{detail}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_unknown_field_is_named(database: PgPool) {
    let admin = Call::as_admin(&database);
    let mistyped = with(with(zoe(), "adress", "1 Main St"), "nam", json!({ "x": 1 }));
    let refused = admin.create(&mistyped).await;
    assert_names(&refused, "adress");
    assert_names(&refused, "nam");

    let id = admin.created(&zoe()).await;
    let patient = format!("/api/patients/{id}");
    let refused = admin.send(Method::PUT, &patient, Some(&mistyped)).await;
    assert_names(&refused, "adress");
    let clinician = Call {
        role: Role::Clinician,
        ..admin
    };
    for (who, path, method, body) in [
        (
            admin,
            "restriction",
            Method::PUT,
            json!({ "restricted": true, "why": 1 }),
        ),
        (
            clinician,
            "emergency-access",
            Method::POST,
            json!({ "reason": "Unconscious, nobody knows", "why": 1 }),
        ),
    ] {
        let path = format!("{patient}/{path}");
        assert_names(&who.send(method, &path, Some(&body)).await, "why");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_that_was_read_can_be_edited_and_written_back(database: PgPool) {
    let admin = Call::as_admin(&database);
    let created = admin.create(&zoe()).await;
    let path = format!("/api/patients/{}", created.body["id"].as_str().unwrap());
    let edited = with(created.body, "name", "Zoë Mega");
    let updated = admin.send(Method::PUT, &path, Some(&edited)).await;
    assert_eq!(updated.status, StatusCode::OK, "{}", updated.body);
    assert_eq!(updated.body["name"], "Zoë Mega");
    assert_eq!(updated.body["version"], 2);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_missing_or_repeated_field_is_named(database: PgPool) {
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let restriction = format!("/api/patients/{id}/restriction");
    let refused = admin
        .send(Method::PUT, &restriction, Some(&json!({})))
        .await;
    assert_names(&refused, "restricted");

    let mut twice = zoe().to_string();
    twice.insert_str(1, r#""name":"Max","#);
    assert_names(&post(&database, twice).await, "name");
    let mut twice = zoe().to_string();
    twice.insert_str(1, r#""id":1,"id":1,"#);
    assert_names(&post(&database, twice).await, "id");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn clients_never_see_messages_of_the_json_parser(database: PgPool) {
    for body in [
        "",
        "{",
        "nope",
        "{}{}",
        r#"{"name":tru}"#,
        r#"{"name":1e999}"#,
        "\u{1}",
    ] {
        let refused = post(&database, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        let said = refused.body.to_string();
        for word in ["line", "column", "expected", "EOF", "struct"] {
            assert!(!said.contains(word), "{body}: {said}");
        }
    }
    let refused = post(&database, with(zoe(), "name", json!(["Zoë"])).to_string()).await;
    assert_eq!(
        refused.body["errors"],
        json!({ "name": "Must be a string" })
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_application_json_in_utf_8_is_accepted(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (number, (content_type, status)) in [
        ("application/json", StatusCode::CREATED),
        ("Application/JSON; Charset=UTF-8", StatusCode::CREATED),
        ("application/json;charset=\"utf-8\"", StatusCode::CREATED),
        (
            "application/json; charset=latin1",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "application/merge-patch+json",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            "application/vnd.api+json",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("application/jsonx", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ]
    .into_iter()
    .enumerate()
    {
        let patient = with(zoe(), "email", format!("zoe{number}@clinic.example"));
        let header = [("Content-Type", content_type)];
        let answer = admin
            .send_as_is(Method::POST, "/api/patients", &header, patient.to_string())
            .await;
        assert_eq!(answer.status, status, "{content_type}");
    }
    let twice = [
        ("Content-Type", "application/json"),
        ("Content-Type", "text/plain"),
    ];
    let answer = admin
        .send_as_is(Method::POST, "/api/patients", &twice, zoe().to_string())
        .await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_empty_optional_field_is_absent(database: PgPool) {
    let admin = Call::as_admin(&database);
    for (number, empty) in [json!(""), json!(" "), Value::Null].into_iter().enumerate() {
        let patient = with(zoe(), "email", format!("zoe{number}@clinic.example"));
        let created = admin.create(&with(patient, "registeredDate", empty)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    }
    let listed = admin.send(Method::GET, "/api/patients?cursor=&limit=", None);
    assert_eq!(listed.await.status, StatusCode::OK);
}

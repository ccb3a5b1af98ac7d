//! A change may name the version that it applies to, and has to if the deployment requires it.

use api::IfMatchRule;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Answer, Call, log_in_the_caller, zoe};

/// Every conditional change of a patient; the deletion comes last.
fn changes(id: &str) -> [(Method, String, Option<Value>); 3] {
    let patient = format!("/api/patients/{id}");
    let restriction = format!("{patient}/restriction");
    let restricted = json!({ "restricted": false });
    [
        (Method::PUT, patient.clone(), Some(zoe())),
        (Method::PUT, restriction, Some(restricted)),
        (Method::DELETE, patient, None),
    ]
}

#[track_caller]
fn assert_names_the_header(refused: &Answer, what: &str) {
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{what}");
    let said = &refused.body["errors"]["If-Match"];
    assert!(said.is_string(), "{what}: {}", refused.body);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn if_match_names_a_version_in_exactly_one_spelling(database: PgPool) {
    log_in_the_caller(&database).await;
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    for (method, path, body) in changes(&id) {
        for tag in ["\"01\"", "\"+1\"", "\"1.0\"", "W/\"01\"", "\"2\", W/\"3\""] {
            let call = Call {
                if_match: Some(tag),
                ..admin
            };
            let refused = call.send(method.clone(), &path, body.as_ref()).await;
            let status = StatusCode::PRECONDITION_FAILED;
            assert_eq!(refused.status, status, "{method} {path} {tag}");
        }
        for malformed in ["1", "", "\"1", "w/\"1\"", "\"1\" \"2\"", "*, \"1\""] {
            let call = Call {
                if_match: Some(malformed),
                ..admin
            };
            let refused = call.send(method.clone(), &path, body.as_ref()).await;
            assert_names_the_header(&refused, &format!("{method} {path} {malformed}"));
        }
    }
    let path = format!("/api/patients/{id}");
    let patient = admin.send(Method::GET, &path, None).await;
    assert_eq!(patient.body["version"], 1);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn our_own_tag_is_recognised_in_its_weak_form(database: PgPool) {
    log_in_the_caller(&database).await;
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    for (version, (method, path, body)) in (1..).zip(changes(&id)) {
        let weak = format!("\"abc\", W/\"{version}\"");
        let call = Call {
            if_match: Some(&weak),
            ..admin
        };
        let changed = call.send(method.clone(), &path, body.as_ref()).await;
        assert!(changed.status.is_success(), "{method} {path}: {changed:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_deployment_may_require_if_match_on_every_change(database: PgPool) {
    log_in_the_caller(&database).await;
    let optional = Call::as_admin(&database);
    let required = Call {
        rule: IfMatchRule::Required,
        ..optional
    };
    let id = required.created(&zoe()).await;
    for (method, path, body) in changes(&id) {
        let refused = required.send(method.clone(), &path, body.as_ref()).await;
        let status = StatusCode::PRECONDITION_REQUIRED;
        assert_eq!(refused.status, status, "{method} {path}");
        let kind = "urn:patient-management:problem:precondition-required";
        assert_eq!(refused.body["type"], kind);
    }
    let path = format!("/api/patients/{id}");
    let patient = required.send(Method::GET, &path, None).await;
    assert_eq!(patient.body["version"], 1);

    for (tag, (method, path, body)) in ["\"1\"", "*", "W/\"3\""].into_iter().zip(changes(&id)) {
        let call = Call {
            if_match: Some(tag),
            ..required
        };
        let changed = call.send(method.clone(), &path, body.as_ref()).await;
        assert!(changed.status.is_success(), "{method} {path}: {changed:?}");
    }
    let id = optional.created(&zoe()).await;
    for (method, path, body) in changes(&id) {
        let changed = optional.send(method.clone(), &path, body.as_ref()).await;
        assert!(changed.status.is_success(), "{method} {path}: {changed:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_header_that_is_sent_twice_is_named(database: PgPool) {
    log_in_the_caller(&database).await;
    let admin = Call::as_admin(&database);
    let id = admin.created(&zoe()).await;
    let registration = (Method::POST, "/api/patients".to_owned(), Some(zoe()));
    let changes = changes(&id).into_iter().chain([registration]);
    for (method, path, body) in changes {
        for (name, values) in [
            ("If-Match", ["\"1\"", "\"1\""]),
            ("Idempotency-Key", ["one", "two"]),
        ] {
            let takes_it = match name {
                "If-Match" => method != Method::POST,
                _ => !path.ends_with("restriction"),
            };
            if !takes_it {
                continue;
            }
            let headers = [
                ("Content-Type", "application/json"),
                (name, values[0]),
                (name, values[1]),
            ];
            let text = body.as_ref().map(ToString::to_string).unwrap_or_default();
            let refused = admin
                .send_as_is(method.clone(), &path, &headers, text)
                .await;
            let status = StatusCode::BAD_REQUEST;
            assert_eq!(refused.status, status, "{method} {path} {name}");
            let said = format!("{name} must be sent once");
            assert_eq!(refused.body["errors"][name], said, "{}", refused.body);
        }
    }
    let path = format!("/api/patients/{id}");
    let patient = admin.send(Method::GET, &path, None).await;
    assert_eq!(patient.body["version"], 1);
}

//! A record that was merged into another one: it can be read, and nobody writes to it.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::fixtures::{Call, log_in_the_caller, with, zoe};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_change_to_a_merged_record_is_refused(database: PgPool) {
    log_in_the_caller(&database).await;
    let call = Call::as_admin(&database);
    let mut ids = Vec::new();
    for email in [
        "one@clinic.example",
        "two@clinic.example",
        "third@clinic.example",
    ] {
        ids.push(call.created(&with(zoe(), "email", email)).await);
    }
    let (survivor, merged, other) = (&ids[0], &ids[1], &ids[2]);
    let merge = async |survivor: &str, duplicate: &str| {
        let body = json!({ "survivorId": survivor, "duplicateId": duplicate });
        let path = "/api/patients/merges";
        call.send(Method::POST, path, Some(&body)).await
    };
    let done = merge(survivor, merged).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.body);
    let group = json!({ "name": "Diabetes" });
    let group = call.send(Method::POST, "/api/groups", Some(&group)).await;
    let group = group.body["id"].as_str().unwrap().to_owned();

    let patient = format!("/api/patients/{merged}");
    for (method, path, body) in [
        (
            Method::PUT,
            patient.clone(),
            with(zoe(), "email", "new@clinic.example"),
        ),
        (Method::DELETE, patient.clone(), Value::Null),
        (
            Method::PUT,
            format!("{patient}/restriction"),
            json!({ "restricted": true }),
        ),
        (
            Method::PUT,
            format!("{patient}/family"),
            json!({ "memberIds": [] }),
        ),
        (
            Method::POST,
            format!("{patient}/relationships"),
            json!({ "patientId": other, "role": "PARENT" }),
        ),
        (
            Method::PUT,
            format!("/api/groups/{group}/members/{merged}"),
            Value::Null,
        ),
        (
            Method::PUT,
            "/api/patients/duplicate-candidates/decision".to_owned(),
            json!({ "patientIds": [merged, other], "decision": "NOT_DUPLICATE" }),
        ),
        (
            Method::POST,
            "/api/patients/merges".to_owned(),
            json!({ "survivorId": other, "duplicateId": merged }),
        ),
    ] {
        let body = Some(&body).filter(|body| !body.is_null());
        let refused = call.send(method.clone(), &path, body).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{method} {path}");
        assert_eq!(
            refused.body["detail"],
            "This record was merged into another one: change that one"
        );
    }
    let read = call.send(Method::GET, &patient, None).await;
    assert_eq!(read.body["mergedInto"], survivor.as_str());
}

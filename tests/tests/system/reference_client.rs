//! A client written for the reference system works unchanged with this one.

use serde_json::{Value, json};
use system_tests::{Call, Clinic};
use uuid::Uuid;

/// All that such a client uses of a response: its status and its JSON.
async fn ok(call: Call) -> (u16, Value) {
    let answer = call.answer().await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    let json = if answer.body.is_empty() {
        Value::Null
    } else {
        answer.json()
    };
    (answer.status, json)
}

#[tokio::test]
async fn the_calls_of_the_reference_client_work() {
    let clinic = Clinic::open();
    let stranger = clinic.stranger();
    let credentials = json!({ "email": "testuser@test.com", "password": "password123" });
    let (status, login) = ok(stranger.post("/auth/login").json(&credentials)).await;
    assert_eq!(status, 200);
    let visitor = clinic.bearer(login["token"].as_str().unwrap());
    ok(visitor.get("/auth/validate")).await;

    let email = format!("john.doe.{}@example.com", Uuid::new_v4().simple());
    let mut patient = json!({
        "name": "John Doe",
        "email": email,
        "address": "123 Main St, Springfield",
        "dateOfBirth": "1995-09-09",
        "registeredDate": "2024-11-28",
    });
    let (status, created) = ok(visitor.post("/api/patients").json(&patient)).await;
    assert_eq!(status, 201);
    for field in ["name", "email", "address", "dateOfBirth", "registeredDate"] {
        assert_eq!(created[field], patient[field], "{field}");
    }
    let id = created["id"].as_str().unwrap();
    assert!(Uuid::parse_str(id).is_ok(), "{id}");

    let (_, list) = ok(visitor.get("/api/patients")).await;
    for field in ["id", "name", "email", "address", "dateOfBirth"] {
        assert!(list["patients"][0][field].is_string(), "{field}: {list}");
    }

    patient["name"] = json!("John Q. Doe");
    patient.as_object_mut().unwrap().remove("registeredDate");
    let (status, updated) = ok(visitor.put(&format!("/api/patients/{id}")).json(&patient)).await;
    assert_eq!(status, 200);
    assert_eq!(updated["name"], "John Q. Doe");
    assert_eq!(updated["id"], id);

    let (status, _) = ok(visitor.delete(&format!("/api/patients/{id}"))).await;
    assert_eq!(status, 204);
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_token_are_401() {
    let clinic = Clinic::open();
    let credentials = json!({ "email": "testuser@test.com", "password": "wrong" });
    let stranger = clinic.stranger();
    stranger
        .post("/auth/login")
        .json(&credentials)
        .answers(401)
        .await;
    stranger.get("/auth/validate").answers(401).await;
    let answer = stranger.get("/api/patients").answers(401).await;
    assert!(answer.header("www-authenticate").is_some());
}

//! Who gets a welcome message, and who decides that.

use axum::http::{Method, StatusCode};
use contracts::patient::v1::{PatientEvent, patient_event::Change};
use identity::Role;
use prost::Message as _;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::fixtures::{Answer, Call, with, zoe};

async fn register(database: &PgPool, role: Role, query: &str) -> Answer {
    let patient = with(zoe(), "email", format!("{}@clinic.example", Uuid::now_v7()));
    let call = Call {
        role,
        ..Call::as_admin(database)
    };
    let path = format!("/api/patients{query}");
    call.send(Method::POST, &path, Some(&patient)).await
}

/// For each registered patient, whether they are announced without a welcome.
async fn without_welcome(database: &PgPool) -> Vec<bool> {
    let events: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT payload FROM patients.outbox WHERE kind = 'PATIENT_EVENT' ORDER BY sequence",
    )
    .fetch_all(database)
    .await
    .unwrap();
    let events = events.iter().map(|event| {
        let event = PatientEvent::decode(event.as_slice()).unwrap();
        let Some(Change::Created(created)) = event.change else {
            panic!("{event:?}")
        };
        created.without_welcome
    });
    events.collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_administrator_may_register_patients_without_a_welcome(database: PgPool) {
    for query in ["", "?welcome=true", "?welcome=false"] {
        let answer = register(&database, Role::Admin, query).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    }
    assert_eq!(without_welcome(&database).await, [false, false, true]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn nobody_else_may_register_patients_without_a_welcome(database: PgPool) {
    for role in [Role::Clinician, Role::Receptionist] {
        let answer = register(&database, role, "?welcome=true").await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let answer = register(&database, role, "?welcome=false").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.body);
    }
    assert_eq!(without_welcome(&database).await, [false, false]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_welcome_parameter_is_true_or_false(database: PgPool) {
    for value in ["no", "False", "0"] {
        let query = format!("?welcome={value}");
        let answer = register(&database, Role::Admin, &query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
        assert!(
            answer.body["errors"]["welcome"].is_string(),
            "{}",
            answer.body
        );
    }
    let answer = register(&database, Role::Admin, "?welcome=false&welcome=true").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
    let path = format!("/api/patients/{}?welcome=false", created(&database).await);
    let answer = Call::as_admin(&database)
        .send(Method::PUT, &path, Some(&zoe()))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
}

async fn created(database: &PgPool) -> String {
    let answer = register(database, Role::Admin, "").await;
    let Value::String(id) = &answer.body["id"] else {
        panic!("{}", answer.body)
    };
    id.clone()
}

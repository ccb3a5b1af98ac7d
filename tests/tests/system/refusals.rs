//! What the gateway rejects before any function runs is recorded all the same.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{Claims, Role};
use sqlx::{Connection as _, PgConnection};
use system_tests::{Answer, Clinic, eventually};
use uuid::Uuid;

/// The relevant fields of an audit record.
#[derive(Debug, sqlx::FromRow)]
struct Record {
    actor_id: Option<Uuid>,
    actor_role: Option<String>,
    action: String,
    outcome: String,
    problem: Option<String>,
    patient_ids: Vec<Uuid>,
    account_id: Option<Uuid>,
    source: Option<String>,
}

async fn database() -> PgConnection {
    let url = std::env::var("DATABASE_URL").expect("the environment of a stack");
    PgConnection::connect(&url).await.unwrap()
}

/// The audit records of the request with this response, once there are any.
async fn records_of(answer: &Answer) -> Vec<Record> {
    let request_id = answer.header("x-amzn-requestid").unwrap();
    assert_eq!(answer.problem().request_id, request_id);
    let mut database = database().await;
    eventually("the record of the rejection", async || {
        let records: Vec<Record> = sqlx::query_as(
            "SELECT actor_id, actor_role, action, outcome, problem, patient_ids, account_id, source
             FROM audit.record
             WHERE request_id = $1",
        )
        .bind(request_id)
        .fetch_all(&mut database)
        .await
        .unwrap();
        (!records.is_empty()).then_some(records)
    })
    .await
}

/// The audit record of the request with this response, which must be the only one.
async fn record_of(answer: &Answer) -> Record {
    let mut records = records_of(answer).await;
    assert_eq!(records.len(), 1, "{records:?}");
    records.remove(0)
}

/// The user of a token.
fn user_of(token: &str) -> Uuid {
    let claims = token.split('.').nth(1).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Claims = serde_json::from_slice(&claims).unwrap();
    claims.sub
}

#[tokio::test]
async fn every_rejection_by_the_gateway_is_recorded_with_its_caller_and_patient() {
    let clinic = Clinic::open();
    let receptionist = clinic.log_in(Role::Receptionist).await;
    let patient = Uuid::now_v7();
    let path = format!("/api/patients/{patient}");
    // The gateway rejects the second one by itself, with the cached policy.
    for _ in 0..2 {
        let answer = receptionist.delete(&path).answers(403).await;
        let record = record_of(&answer).await;
        assert_eq!(record.actor_id, Some(user_of(receptionist.token())));
        assert_eq!(record.actor_role.as_deref(), Some("RECEPTIONIST"));
        assert_eq!(record.action, "DELETE_PATIENT");
        assert_eq!(record.outcome, "REFUSED");
        assert_eq!(record.problem.as_deref(), Some("forbidden"));
        assert_eq!(record.patient_ids, [patient]);
        assert_eq!(record.account_id, None);
        assert_eq!(record.source.as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_rejected_request_about_an_account_is_recorded_with_the_account() {
    let clinic = Clinic::open();
    let clinician = clinic.log_in(Role::Clinician).await;
    let account = Uuid::now_v7();
    let path = format!("/api/accounts/{account}");
    let answer = clinician.get(&path).answers(403).await;
    let record = record_of(&answer).await;
    assert_eq!(record.action, "READ_ACCOUNTS");
    assert_eq!(record.account_id, Some(account));
    assert_eq!(record.patient_ids, Vec::<Uuid>::new());
}

#[tokio::test]
async fn a_request_without_a_valid_token_is_recorded_without_an_actor() {
    let clinic = Clinic::open();
    let patient = Uuid::now_v7();
    let path = format!("/api/patients/{patient}");
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{patient}","role":"ADMIN"}}"#));
    for visitor in [
        // Without a token, with one that the gateway rejects by its pattern, and with a forged one.
        clinic.stranger(),
        clinic.bearer("not-even-a-token"),
        clinic.bearer(&format!("{header}.{payload}.AAAA")),
    ] {
        let answer = visitor.get(&path).answers(401).await;
        let record = record_of(&answer).await;
        assert_eq!(record.actor_id, None);
        assert_eq!(record.actor_role, None);
        assert_eq!(record.action, "READ_PATIENT");
        assert_eq!(record.outcome, "REFUSED");
        assert_eq!(record.problem.as_deref(), Some("unauthorized"));
        assert_eq!(record.patient_ids, [patient]);
    }
}

#[tokio::test]
async fn rejected_requests_with_odd_characters_in_the_path_are_recorded() {
    let clinic = Clinic::open();
    for path in [
        "/api/patients/%22%7d%00%0a%5c",
        "/api/patients/$context.requestId",
        "/api/patients/%F0%9F%A9%BA",
    ] {
        let answer = clinic.stranger().get(path).answers(401).await;
        let record = record_of(&answer).await;
        assert_eq!(record.action, "READ_PATIENT");
        assert_eq!(record.patient_ids, Vec::<Uuid>::new());
    }
}

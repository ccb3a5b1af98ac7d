//! Parts of the system fail, and the rest goes on.

use std::{env, fs, time::Duration};

use serde_json::json;
use sqlx::PgPool;
use system_tests::{Clinic, NewPatient, Patient, Process, Restart, Topic, eventually};

#[tokio::test]
async fn a_patient_is_registered_while_billing_is_down_and_gets_their_account_later() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let mut topic = Topic::listen().await;
    let restart = Restart::afterwards("billing");
    Process::of_service(clinic.stack(), "billing").kill().await;

    let patient = visitor.register_somebody().await;
    let path = format!("{}/billing-account", patient.path());
    let answer = visitor.get(&path).answers(503).await;
    assert_eq!(answer.problem().name(), "unavailable");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    let health = clinic.stranger().get("/health").answers(503).await.json();
    assert_eq!(health["status"], "DOWN");
    assert_eq!(health["checks"]["billing"]["status"], "DOWN");
    assert_eq!(health["checks"]["database"]["status"], "UP");
    assert_eq!(health["checks"]["kafka"]["status"], "UP");

    restart.now();
    // Otherwise the schedule does this once a minute.
    let relayed = clinic.aws().invoke("relay-outbox", &json!({})).await;
    assert!(!relayed.failed, "{relayed:?}");
    let account = eventually("the account", async || {
        let answer = visitor.get(&path).answer().await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(account["patientId"], patient.id.to_string());
    assert_eq!(topic.records_about(patient.id, 1).await.len(), 1);
    eventually("the welcome", async || {
        let mail = clinic.aws().mail_to(&patient.email).await;
        (!mail.is_empty()).then_some(())
    })
    .await;
    clinic.stranger().get("/health").answers(200).await;
}

#[tokio::test]
async fn an_unresponsive_billing_service_blocks_nobody() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let known = visitor.register_somebody().await;
    let frozen = Process::of_service(clinic.stack(), "billing").freeze();

    let patient = visitor.register_somebody().await;
    let path = format!("{}/billing-account", known.path());
    let answer = visitor.get(&path).answers(503).await;
    assert_eq!(answer.problem().name(), "unavailable");
    drop(frozen);

    visitor.get(&path).answers(200).await;
    let path = format!("{}/billing-account", patient.path());
    eventually("the account", async || {
        clinic.aws().invoke("relay-outbox", &json!({})).await;
        (visitor.get(&path).answer().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_patient_is_registered_while_kafka_is_down_and_announced_later() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let restart = Restart::afterwards("kafka");
    Process::of_service(clinic.stack(), "kafka").kill().await;
    let patient = visitor.register_somebody().await;
    let path = format!("{}/billing-account", patient.path());
    visitor.get(&path).answers(200).await;
    assert!(clinic.aws().mail_to(&patient.email).await.is_empty());

    restart.now();
    eventually("the welcome", async || {
        clinic.aws().invoke("relay-outbox", &json!({})).await;
        let mail = clinic.aws().mail_to(&patient.email).await;
        (mail.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_function_that_dies_during_a_request_loses_nothing() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let stack = clinic.stack();
    let log = format!("functions/{}.log", stack.function_name("create-patient"));
    let log = stack.logs().join(log);
    let requests = || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.matches("START RequestId").count()
    };
    let new = NewPatient::unique();
    // The request waits for the table.
    let database = PgPool::connect(&env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    let mut lock = database.begin().await.unwrap();
    sqlx::query("LOCK TABLE patients.patient IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let before = requests();
    let request = tokio::spawn(visitor.post("/api/patients").json(&new).answer());
    eventually("the request in the function", async || {
        (requests() > before).then_some(())
    })
    .await;
    for process in Process::of_function(stack, "create-patient") {
        process.kill().await;
    }
    lock.rollback().await.unwrap();
    let answer = request.await.unwrap();
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.problem().name(), "internal");

    // The client cannot know how far the request got, and tries again.
    let again = visitor.post("/api/patients").json(&new).answer().await;
    assert!(matches!(again.status, 201 | 409), "{again:?}");
    eventually("one welcome", async || {
        clinic.aws().invoke("relay-outbox", &json!({})).await;
        let mail = clinic.aws().mail_to(&new.email).await;
        (mail.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_function_that_dies_after_its_answer_loses_nothing() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    // The delivery waits for the account to be opened.
    let frozen = Process::of_service(clinic.stack(), "billing").freeze();
    let new = NewPatient::unique();
    visitor.register(&new).await;
    for process in Process::of_function(clinic.stack(), "create-patient") {
        process.kill().await;
    }
    drop(frozen);
    eventually("one welcome", async || {
        clinic.aws().invoke("relay-outbox", &json!({})).await;
        let mail = clinic.aws().mail_to(&new.email).await;
        (mail.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_api_recovers_with_the_database() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let patient = visitor.register_somebody().await;
    let restart = Restart::afterwards("postgres");
    Process::of_service(clinic.stack(), "postgres").kill().await;
    let answer = visitor.get(&patient.path()).answers(503).await;
    assert_eq!(answer.problem().name(), "unavailable");
    let health = clinic.stranger().get("/health").answers(503).await.json();
    assert_eq!(health["checks"]["database"]["status"], "DOWN");

    restart.now();
    let read = system_tests::within(Duration::from_secs(20), "the patient", async || {
        let answer = visitor.get(&patient.path()).answer().await;
        (answer.status == 200).then(|| answer.read::<Patient>())
    })
    .await;
    assert_eq!(read, patient);
    let health = clinic.stranger().get("/health");
    assert!(matches!(health.answer().await.status, 200 | 503));
}

#[tokio::test]
async fn a_message_in_its_queue_starts_a_run() {
    let clinic = Clinic::open();
    for function in [
        "relay-outbox",
        "send-account-messages",
        "verify-audit-trail",
    ] {
        clinic.aws().send(function, "{}").await;
        eventually("a run to take the message", async || {
            (clinic.aws().messages_on(function).await == 0).then_some(())
        })
        .await;
    }
}

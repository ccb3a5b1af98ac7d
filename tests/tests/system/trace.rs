//! Tracing a request through the logs, which contain nothing about patients.

use std::fs;

use serde_json::Value;
use system_tests::{Clinic, NewPatient, eventually, logs};
use uuid::Uuid;

/// A trace started by a client: its id and its header.
fn new_trace() -> (String, String) {
    let trace_id = Uuid::new_v4().simple().to_string();
    let header = format!("00-{trace_id}-b7ad6b7169203331-01");
    (trace_id, header)
}

#[tokio::test]
async fn one_trace_id_leads_from_the_request_to_the_last_consumer() {
    let clinic = Clinic::open();
    let stack = clinic.stack();
    let visitor = clinic.administrator().await;
    let (trace_id, traceparent) = new_trace();
    let new = NewPatient::unique();
    let call = visitor
        .post("/api/patients")
        .header("traceparent", &traceparent);
    let answer = call.json(&new).answers(201).await;

    let request = eventually("the request in the function's log", async || {
        let lines = logs::function_lines(stack, "create-patient", &trace_id);
        lines.into_iter().find(|line| line["message"] == "request")
    })
    .await;
    assert_eq!(request["requestId"], answer.header("x-request-id").unwrap());
    assert_eq!(request["Function"], stack.function_name("create-patient"));
    assert_eq!(request["method"], "POST");
    assert_eq!(request["route"], "/api/patients");
    assert_eq!(request["status"], 201);
    assert!(request["Duration"].is_f64(), "{request}");
    let metrics = &request["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(metrics["Namespace"], "PatientManagement");
    assert!(
        metrics["Metrics"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );

    eventually("the call in the billing service's log", async || {
        (!logs::service_lines(stack, "billing", &trace_id).is_empty()).then_some(())
    })
    .await;
    let patient_id = answer.json()["id"].clone();
    for consumer in ["count-patient-events", "notify-patients"] {
        eventually("the event in the consumer's log", async || {
            let lines = logs::function_lines(stack, consumer, &trace_id);
            let applied =
                |line: &&Value| line["patientId"] == patient_id && line["effect"] == "applied";
            lines.iter().find(applied).map(|_| ())
        })
        .await;
    }
}

#[tokio::test]
async fn a_problem_is_found_in_the_log_by_its_request_id() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let (trace_id, traceparent) = new_trace();
    let path = format!("/api/patients/{}", Uuid::now_v7());
    let answer = visitor
        .get(&path)
        .header("traceparent", &traceparent)
        .answers(404)
        .await;
    let request_id = answer.problem().request_id;
    assert_eq!(answer.header("x-request-id"), Some(request_id.as_str()));
    let request = eventually("the request in the function's log", async || {
        let lines = logs::function_lines(clinic.stack(), "get-patient", &trace_id);
        lines.into_iter().find(|line| line["message"] == "request")
    })
    .await;
    assert_eq!(request["requestId"], request_id);
    assert_eq!(request["route"], "/api/patients/{id}");
    assert_eq!(request["status"], 404);
}

#[tokio::test]
async fn no_log_contains_patient_data() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let mark = format!("Xq{}", Uuid::new_v4().simple());
    let new = NewPatient {
        name: format!("{mark} Name"),
        email: format!("{mark}@clinic.example"),
        address: format!("{mark} Street"),
        ..NewPatient::unique()
    };
    let patient = visitor.register(&new).await;
    // The same address again, and every kind of error in a body.
    visitor.post("/api/patients").json(&new).answers(409).await;
    let mut wrong = serde_json::to_value(&new).unwrap();
    for (field, value) in [
        ("email", format!("{mark} is no address")),
        ("dateOfBirth", format!("{mark} is no date")),
        ("name", format!("{mark}\u{7}")),
    ] {
        let right = wrong[field].take();
        wrong[field] = value.into();
        visitor.put(&patient.path()).json(&wrong).answers(400).await;
        wrong[field] = right;
    }
    let broken = format!("{{\"name\": \"{mark}\", \"email\": {mark}}}");
    visitor
        .post("/api/patients")
        .body("application/json", broken)
        .answers(400)
        .await;
    visitor.put(&patient.path()).json(&new).answers(200).await;
    visitor.get(&patient.path()).answers(200).await;
    visitor
        .get(&format!("{}/billing-account", patient.path()))
        .answers(200)
        .await;
    let login = serde_json::json!({ "email": new.email, "password": mark });
    clinic
        .stranger()
        .post("/auth/login")
        .json(&login)
        .answers(401)
        .await;
    eventually("the welcome", async || {
        let mail = clinic.aws().mail_to(&new.email).await;
        (!mail.is_empty()).then_some(())
    })
    .await;
    visitor.delete(&patient.path()).answers(204).await;

    let signature = visitor.token().rsplit('.').next().unwrap();
    let secrets = [
        mark.as_str(),
        signature,
        "password123",
        &clinic.stack().billing_token,
    ];
    let lower_case = mark.to_lowercase();
    for (file, content) in logs::all(clinic.stack()) {
        for secret in secrets.iter().copied().chain([lower_case.as_str()]) {
            let leak = content.lines().find(|line| line.contains(secret));
            assert!(
                leak.is_none(),
                "{}: {}",
                file.display(),
                leak.unwrap_or_default()
            );
        }
    }
    // The search covers the right files.
    let function = clinic.stack().function_name("create-patient");
    let log = clinic
        .stack()
        .logs()
        .join(format!("functions/{function}.log"));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains(&patient.id.to_string()) || log.contains("\"message\":\"request\""));
}

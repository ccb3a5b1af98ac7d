//! Requests that a client repeats because it received no response.

use system_tests::{Answer, Clinic, NewPatient, Patient, Process, Topic, eventually};
use uuid::Uuid;

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn a_repeated_request_has_one_effect_and_one_response() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let mut topic = Topic::listen().await;
    let key = Uuid::now_v7().to_string();
    let new = NewPatient::unique();
    let register = || {
        let call = visitor.post("/api/patients").json(&new);
        call.header("Idempotency-Key", &key).answers(201)
    };
    let (first, again) = (register().await, register().await);
    assert!(!is_replayed(&first), "{first:?}");
    assert!(is_replayed(&again), "{again:?}");
    assert_eq!(again.body, first.body);
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name));
    }

    let patient: Patient = first.read();
    for (method, status) in [("PUT", 200), ("DELETE", 204)] {
        let change = || {
            let call = visitor.call(method, &patient.path()).json(&new);
            call.header("Idempotency-Key", &key).answers(status)
        };
        let (first, again) = (change().await, change().await);
        assert!(!is_replayed(&first), "{first:?}");
        assert!(is_replayed(&again), "{again:?}");
        assert_eq!(again.body, first.body);
    }
    let records = topic.records_about(patient.id, 3).await;
    let versions: Vec<_> = records.iter().map(|r| r.event.patient_version).collect();
    assert_eq!(versions, [1, 2, 3]);

    let other = NewPatient::unique();
    let call = visitor.post("/api/patients").json(&other);
    let answer = call.header("Idempotency-Key", &key).answers(422).await;
    assert_eq!(answer.problem().name(), "idempotency-key-reused");
    let call = visitor.post("/api/patients").json(&other);
    let answer = call.header("Idempotency-Key", "\"").answers(400).await;
    assert!(answer.problem().detail.contains("Idempotency-Key"));
}

#[tokio::test]
async fn a_request_whose_function_died_can_be_repeated_without_a_conflict() {
    let clinic = Clinic::alone();
    let visitor = clinic.administrator().await;
    let new = NewPatient::unique();
    let register = || {
        let call = visitor.post("/api/patients").json(&new);
        call.header("Idempotency-Key", &new.email).answer()
    };
    // The request waits a moment for the account to be opened: by then, its patient is stored.
    let frozen = Process::of_service(clinic.stack(), "billing").freeze();
    let request = tokio::spawn(register());
    let listed = async || {
        let processes = Process::of_function(clinic.stack(), "create-patient");
        (!processes.is_empty()).then_some(processes)
    };
    for process in eventually("the function", listed).await {
        process.kill().await;
    }
    drop(frozen);
    let _ = request.await.unwrap();

    let patient: Patient = eventually("the patient", async || {
        let answer = register().await;
        // It may be in progress until the database has noticed that the process is gone.
        let in_progress = answer.status == 409 && answer.problem().name() == "request-in-progress";
        assert!(in_progress || answer.status == 201, "{answer:?}");
        (answer.status == 201).then(|| answer.read())
    })
    .await;
    let again = register().await;
    assert!(is_replayed(&again), "{again:?}");
    assert_eq!(again.read::<Patient>(), patient);
}

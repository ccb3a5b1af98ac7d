//! Everything that follows from registering a patient, up to the welcome in their mailbox.

use contracts::{
    TRACEPARENT,
    billing::v1::{
        BillingAccountStatus, GetBillingAccountRequest,
        billing_service_client::BillingServiceClient,
    },
    patient::v1::patient_event::Change,
};
use identity::Role;
use serde_json::Value;
use system_tests::{Clinic, NewPatient, Topic, Visitor, eventually};
use tonic::{Code, Request, metadata::MetadataValue, transport::Channel};
use uuid::Uuid;

async fn billing(clinic: &Clinic) -> BillingServiceClient<Channel> {
    let url = clinic.stack().billing_url.clone();
    BillingServiceClient::connect(url).await.unwrap()
}

fn account_of(patient_id: Uuid, token: Option<&str>) -> Request<GetBillingAccountRequest> {
    let mut request = Request::new(GetBillingAccountRequest {
        patient_id: patient_id.to_string(),
    });
    if let Some(token) = token {
        let authorization: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
        request
            .metadata_mut()
            .insert("authorization", authorization);
    }
    request
}

async fn analytics_of(visitor: &Visitor, day: &str) -> Value {
    let path = format!("/api/analytics/patients?from={day}&to={day}");
    let answer = visitor.get(&path).answers(200).await.json();
    assert_eq!(answer["days"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["days"][0]["date"], day);
    answer["days"][0].clone()
}

fn count(counts: &Value, pointer: &str) -> u64 {
    let number = counts.pointer(pointer).and_then(Value::as_u64);
    number.unwrap_or_else(|| panic!("no number at {pointer}: {counts}"))
}

#[tokio::test]
async fn a_new_patient_gets_an_account_is_announced_counted_and_welcomed() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let mut topic = Topic::listen().await;
    let new = NewPatient {
        date_of_birth: "1950-06-15".to_owned(),
        registered_date: Some("2020-06-15".to_owned()),
        ..NewPatient::unique()
    };
    let today = chrono::Utc::now().date_naive().to_string();
    let before = analytics_of(&visitor, &today).await;
    let patient = visitor.register(&new).await;
    let day = patient.created_at.date_naive().to_string();

    // The billing account, as seen by clients and as stored.
    let path = format!("{}/billing-account", patient.path());
    let account = visitor.get(&path).answers(200).await.json();
    assert_eq!(account["patientId"], patient.id.to_string());
    assert_eq!(account["status"], "ACTIVE");
    let token = clinic.stack().billing_token.as_str();
    let mut billing = billing(&clinic).await;
    let answer = billing
        .get_billing_account(account_of(patient.id, Some(token)))
        .await;
    let stored = answer.unwrap().into_inner().account.unwrap();
    assert_eq!(account["accountId"], stored.account_id);
    assert_eq!(stored.patient_id, patient.id.to_string());
    assert_eq!(stored.status(), BillingAccountStatus::Active);

    // The event.
    let records = topic.records_about(patient.id, 1).await;
    assert_eq!(records.len(), 1);
    let event = &records[0].event;
    assert_eq!(event.patient_id, patient.id.to_string());
    assert_eq!(event.patient_version, 1);
    assert_eq!(records[0].headers["event-id"], event.event_id);
    assert!(records[0].headers[TRACEPARENT].starts_with("00-"));
    let Some(Change::Created(created)) = &event.change else {
        panic!("not created: {:?}", event.change)
    };
    let announced = created.patient.clone().unwrap();
    assert_eq!((&announced.name, &announced.email), (&new.name, &new.email));
    assert_eq!(announced.address, new.address);
    assert_eq!(announced.date_of_birth, new.date_of_birth);
    assert_eq!(announced.registered_date, "2020-06-15");

    // The counts of the day; other tests register patients at the same time.
    for counter in ["/created", "/ageBands/60-74"] {
        let known = if day == today {
            count(&before, counter)
        } else {
            0
        };
        eventually("the patient in the analytics", async || {
            let now = count(&analytics_of(&visitor, &day).await, counter);
            (now > known).then_some(())
        })
        .await;
    }

    // The welcome, as seen by clients and as sent.
    let path = format!("/api/notifications?patientId={}", patient.id);
    let notification = eventually("the notification", async || {
        let list = visitor.get(&path).answers(200).await.json();
        let mut sent = list["notifications"].as_array().unwrap().iter();
        sent.find(|notification| notification["state"] == "SENT")
            .cloned()
    })
    .await;
    assert_eq!(notification["patientId"], patient.id.to_string());
    assert_eq!(notification["kind"], "WELCOME");
    assert_eq!(notification["channel"], "EMAIL");
    assert_eq!(notification["recipient"], new.email);
    assert!(notification["sentAt"].is_string());
    let mail = clinic.aws().mail_to(&new.email).await;
    assert_eq!(mail.len(), 1, "one welcome");
    assert_eq!(mail[0].subject, notification["subject"].as_str().unwrap());
    let text = mail[0].body.text_part.as_deref().unwrap();
    assert!(text.contains(&new.name), "{text}");
}

#[tokio::test]
async fn all_changes_are_announced_in_order() {
    let clinic = Clinic::open();
    let visitor = clinic.administrator().await;
    let mut topic = Topic::listen().await;
    let patient = visitor.register_somebody().await;
    let change = NewPatient::unique();
    visitor
        .put(&patient.path())
        .json(&change)
        .answers(200)
        .await;
    visitor.delete(&patient.path()).answers(204).await;

    let records = topic.records_about(patient.id, 3).await;
    let versions: Vec<_> = records
        .iter()
        .map(|record| record.event.patient_version)
        .collect();
    assert_eq!(versions, [1, 2, 3]);
    let Some(Change::Updated(updated)) = &records[1].event.change else {
        panic!("not updated: {:?}", records[1])
    };
    assert_eq!(updated.patient.clone().unwrap().email, change.email);
    assert!(matches!(records[2].event.change, Some(Change::Deleted(_))));
    let same = |record: &system_tests::PatientRecord| record.partition == records[0].partition;
    assert!(
        records.iter().all(same),
        "order is guaranteed only within one partition"
    );
    let ids: std::collections::BTreeSet<_> = records
        .iter()
        .map(|record| &record.event.event_id)
        .collect();
    assert_eq!(ids.len(), 3);

    // Closed before the deletion was announced, and still visible.
    let account = format!("{}/billing-account", patient.path());
    let account = visitor.get(&account).answers(200).await.json();
    assert_eq!(account["status"], "CLOSED");
}

#[tokio::test]
async fn the_billing_service_rejects_callers_without_its_token() {
    let clinic = Clinic::open();
    let patient = clinic.administrator().await.register_somebody().await;
    let mut billing = billing(&clinic).await;
    for token in [None, Some(""), Some("made-up")] {
        let refusal = billing
            .get_billing_account(account_of(patient.id, token))
            .await;
        assert_eq!(
            refusal.unwrap_err().code(),
            Code::Unauthenticated,
            "{token:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_patient_has_no_account_and_no_notifications() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Auditor).await;
    let nobody = Uuid::now_v7();
    let path = format!("/api/patients/{nobody}/billing-account");
    let problem = visitor.get(&path).answers(404).await.problem();
    assert_eq!(problem.name(), "not-found");
    let path = format!("/api/notifications?patientId={nobody}");
    let list = visitor.get(&path).answers(200).await.json();
    assert_eq!(list["notifications"], serde_json::json!([]));
    assert_eq!(list["nextCursor"], Value::Null);
}

#[tokio::test]
async fn invalid_queries_are_rejected() {
    let clinic = Clinic::open();
    let visitor = clinic.log_in(Role::Auditor).await;
    for path in [
        "/api/notifications",
        "/api/notifications?patientId=",
        "/api/notifications?patientId=somebody",
        "/api/notifications?patientId=0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa&limit=0",
        "/api/notifications?patientId=0199f7a2-6c1e-7c35-9b6c-0d2a54f3c1aa&cursor=made-up",
        "/api/analytics/patients?from=yesterday",
        "/api/analytics/patients?to=2024-02-30",
        "/api/analytics/patients?from=2024-02-02&to=2024-02-01",
        "/api/analytics/patients?from=2020-01-01&to=2024-01-01",
    ] {
        let answer = visitor.get(path).answer().await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.problem().name(), "invalid-input", "{path}");
    }
}

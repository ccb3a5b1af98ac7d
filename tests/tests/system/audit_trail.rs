//! The audit trail, from a request at the gateway to the page that an auditor reads; and opening a
//! restricted record in an emergency.

use identity::Role;
use serde_json::{Value, json};
use system_tests::{Answer, Clinic, NewPatient, Visitor, eventually};

async fn records(auditor: &Visitor, filter: &str) -> Vec<Value> {
    let answer = auditor.get(&format!("/api/audit?limit=100&{filter}"));
    let answer = answer.answers(200).await.json();
    answer["records"].as_array().unwrap().clone()
}

fn request_id(answer: &Answer) -> Value {
    json!(answer.header("x-request-id").unwrap())
}

#[tokio::test]
async fn an_auditor_sees_who_did_what_to_a_patient() {
    let clinic = Clinic::open();
    let staff = clinic.hire(Role::Receptionist).await;
    let welcome = clinic.welcome(&staff).await;
    let receptionist = clinic.bearer(welcome["token"].as_str().unwrap());
    let administrator = clinic.administrator().await;
    let auditor = clinic.log_in(Role::Auditor).await;

    let patient = receptionist.register(&NewPatient::unique()).await;
    let path = format!("/api/patients/{}", patient.id);
    let read = receptionist.get(&path).answers(200).await;
    let account = format!("{path}/billing-account");
    eventually("the billing account", async || {
        (receptionist.get(&account).answer().await.status == 200).then_some(())
    })
    .await;
    let notifications = format!("/api/notifications?patientId={}", patient.id);
    receptionist.get(&notifications).answers(200).await;
    administrator.delete(&path).answers(204).await;
    receptionist.get(&path).answers(404).await;

    let filter = format!("patientId={}", patient.id);
    let mut records = records(&auditor, &filter).await;
    records.reverse();
    let what = |record: &Value| (record["action"].clone(), record["outcome"].clone());
    let mut seen: Vec<_> = records.iter().map(what).collect();
    // Other tests list all patients concurrently.
    seen.retain(|(action, _)| action != "LIST_PATIENTS");
    // The account is requested until it exists.
    seen.dedup();
    seen.retain(|(action, outcome)| !(action == "READ_BILLING_ACCOUNT" && outcome == "FAILED"));
    let expected = [
        ("CREATE_PATIENT", "SUCCEEDED"),
        ("READ_PATIENT", "SUCCEEDED"),
        ("READ_BILLING_ACCOUNT", "SUCCEEDED"),
        ("READ_NOTIFICATIONS", "SUCCEEDED"),
        ("DELETE_PATIENT", "SUCCEEDED"),
        ("READ_PATIENT", "FAILED"),
    ];
    let expected = expected.map(|(action, outcome)| (json!(action), json!(outcome)));
    assert_eq!(seen, expected);

    let record = records.iter().find(|r| r["action"] == "READ_PATIENT");
    let record = record.unwrap();
    assert_eq!(record["requestId"], request_id(&read));
    assert_eq!(record["actorRole"], "RECEPTIONIST");
    assert!(record["source"].is_string());

    let of_account = records.iter().rfind(|r| r["resourceId"].is_string());
    let of_account = of_account.unwrap();
    assert_eq!(of_account["action"], "READ_BILLING_ACCOUNT");
    let id = of_account["resourceId"].as_str().unwrap();
    let of_resource = format!("resourceType=BILLING_ACCOUNT&resourceId={id}");
    let of_account = self::records(&auditor, &of_resource).await;
    assert!(
        of_account
            .iter()
            .all(|r| r["patientIds"] == json!([patient.id]))
    );

    let actor = &record["actorId"];
    let logins = format!("action=LOG_IN&actorId={}", actor.as_str().unwrap());
    let logins = self::records(&auditor, &logins).await;
    assert_eq!(logins.len(), 1);
    assert_eq!(&logins[0]["accountId"], actor);

    // Auditors are recorded, too.
    let own = self::records(&auditor, &format!("action=READ_AUDIT_TRAIL&{filter}")).await;
    assert!(!own.is_empty());
}

#[tokio::test]
async fn a_restricted_record_can_be_opened_in_an_emergency() {
    let clinic = Clinic::open();
    let administrator = clinic.administrator().await;
    let doctor = clinic.hire(Role::Clinician).await;
    let clinician = clinic.log_in_as(&doctor).await;
    let receptionist = clinic.log_in(Role::Receptionist).await;
    let boss = clinic.hire(Role::Admin).await;

    let patient = administrator.register(&NewPatient::unique()).await;
    let path = format!("/api/patients/{}", patient.id);
    clinician.get(&path).answers(200).await;
    let restriction = format!("{path}/restriction");
    let body = json!({ "restricted": true });
    clinician.put(&restriction).json(&body).answers(403).await;
    let put = administrator.put(&restriction).json(&body);
    assert_eq!(put.answers(200).await.json()["restricted"], true);
    clinician.get(&path).answers(403).await;
    receptionist.get(&path).answers(403).await;
    // Nor anything that belongs to the patient.
    let account = format!("{path}/billing-account");
    receptionist.get(&account).answers(403).await;
    let notifications = format!("/api/notifications?patientId={}", patient.id);
    receptionist.get(&notifications).answers(403).await;

    let emergency = format!("{path}/emergency-access");
    let reason = json!({ "reason": "Bewusstlos eingeliefert, Allergien unbekannt 🚑" });
    receptionist
        .post(&emergency)
        .json(&reason)
        .answers(403)
        .await;
    let short = json!({ "reason": "urgent" });
    clinician.post(&emergency).json(&short).answers(400).await;
    let opened = clinician.post(&emergency).json(&reason).answers(200).await;
    assert_eq!(opened.json()["id"], json!(patient.id));

    let auditor = clinic.log_in(Role::Auditor).await;
    let filter = format!(
        "patientId={}&action=EMERGENCY_ACCESS&outcome=SUCCEEDED",
        patient.id
    );
    let records = records(&auditor, &filter).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["reason"], reason["reason"]);
    assert_eq!(records[0]["requestId"], request_id(&opened));

    let mail = eventually("the message to an administrator", async || {
        let sent = clinic
            .aws()
            .invoke("send-account-messages", &json!({}))
            .await;
        assert!(!sent.failed, "{sent:?}");
        clinic.aws().mail_to(&boss.email).await.pop()
    })
    .await;
    let text = mail.body.text_part.unwrap();
    assert!(text.contains(&doctor.email), "{text}");
    assert!(text.contains(&patient.id.to_string()), "{text}");
    assert!(
        !text.contains("Bewusstlos"),
        "the reason is only in the audit trail: {text}"
    );

    let open = json!({ "restricted": false });
    administrator
        .put(&restriction)
        .json(&open)
        .answers(200)
        .await;
    clinician.get(&path).answers(200).await;
}

#[tokio::test]
async fn the_audit_trail_is_intact_and_continues_from_the_ends_found_earlier() {
    let clinic = Clinic::open();
    let verify = async |payload: &Value| {
        let invoked = clinic.aws().invoke("verify-audit-trail", payload).await;
        assert!(!invoked.failed, "{invoked:?}");
        invoked.payload
    };
    let before = verify(&json!({})).await;
    assert_eq!(before["intact"], true, "{before}");
    let administrator = clinic.administrator().await;
    administrator.get("/api/patients").answers(200).await;
    let after = verify(&json!({ "ends": before["ends"] })).await;
    assert_eq!(after["intact"], true, "{after}");
    let count = |verified: &Value| verified["records"].as_u64().unwrap();
    assert!(count(&after) >= count(&before) + 2);

    let other = json!({ "ends": [{ "chain": 0, "sequence": 1, "hash": "00" }] });
    let verified = verify(&other).await;
    assert_eq!(verified["intact"], false);
    assert_eq!(verified["faults"][0]["what"], "NOT_AS_FOUND_EARLIER");
}

//! Whoever registers a patient and asks billing about them at once is served, although nobody has had
//! the account opened yet.

use billing_client::{AccountStatus, BilledTo, BillingClient};
use contracts::billing::v1::CreateBillingAccountRequest;
use prost::Message as _;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::office::{Answer, Office, today};

/// Who is registered: with the message that opens their account in the outbox.
async fn register(database: &PgPool) -> Uuid {
    let patient = Uuid::now_v7();
    register_as(database, patient, "Zoë Ωmega").await;
    patient
}

async fn register_as(database: &PgPool, patient: Uuid, billed_as: &str) {
    let email = format!("{patient}@clinic.example");
    sqlx::query(
        "INSERT INTO patients.patient
             (id, version, name, email, address, date_of_birth, registered_date)
         VALUES ($1, 1, 'Zoë Ωmega', $2, 'here', '1983-11-14', now())",
    )
    .bind(patient)
    .bind(&email)
    .execute(database)
    .await
    .unwrap();
    let message = CreateBillingAccountRequest {
        patient_id: patient.to_string(),
        name: billed_as.to_owned(),
        email,
        address: "1 Harbour Street".to_owned(),
    };
    sqlx::query(
        "INSERT INTO patients.outbox (patient_id, message_id, kind, payload, traceparent)
         VALUES ($1, gen_random_uuid(), 'BILLING_ACCOUNT', $2, '')",
    )
    .bind(patient)
    .bind(message.encode_to_vec())
    .execute(database)
    .await
    .unwrap();
}

async fn waiting(database: &PgPool, patient: Uuid) -> Vec<String> {
    sqlx::query_scalar("SELECT kind FROM patients.outbox WHERE patient_id = $1 ORDER BY sequence")
        .bind(patient)
        .fetch_all(database)
        .await
        .unwrap()
}

async fn billed_to(database: &PgPool, patient: Uuid) -> (String, String, String) {
    sqlx::query_as("SELECT name, email, address FROM billing.account WHERE patient_id = $1")
        .bind(patient)
        .fetch_one(database)
        .await
        .unwrap()
}

async fn account(office: &Office, patient: Uuid) -> Answer {
    let path = format!("/api/patients/{patient}/billing-account");
    office.get(&path).await
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_account_is_there_at_once(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = register(&database).await;
    let body = account(&office, patient).await.is(200).body;
    assert_eq!(body["patientId"], json!(patient));
    assert_eq!(body["status"], "ACTIVE");
    // Billed as whoever delivers it would have it.
    let (name, email, address) = billed_to(&database, patient).await;
    assert_eq!(name, "Zoë Ωmega");
    assert_eq!(email, format!("{patient}@clinic.example"));
    assert_eq!(address, "1 Harbour Street");

    // The message is still delivered, and changes nothing.
    assert_eq!(waiting(&database, patient).await, ["BILLING_ACCOUNT"]);
    let delivered = office
        .billing
        .create_account(patient, &BilledTo::of("Zoë Ωmega", "zoe@clinic.example"))
        .await
        .unwrap();
    assert_eq!(body["accountId"], json!(delivered.id));
    assert_eq!(billed_to(&database, patient).await.1, email);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_route_that_needs_the_account_finds_it(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = register(&database).await;
    let statement = format!("/api/patients/{patient}/statement");
    office.get(&statement).await.is(200);

    let patient = register(&database).await;
    let document = format!("/api/patients/{patient}/statement/document");
    office.get(&document).await.is(200);

    let patient = register(&database).await;
    office.price("VISIT", 6500).await.is(201);
    let key = Uuid::now_v7().to_string();
    let charge = json!({ "code": "VISIT", "serviceDate": today() });
    let path = format!("/api/patients/{patient}/charges");
    let office_once = office.with_key(&key);
    let first = office_once.post(&path, charge.clone()).await.is(201);
    let again = office_once.post(&path, charge).await.is(201);
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.body, again.body);

    let patient = register(&database).await;
    let payment = json!({
        "amount": { "currency": "EUR", "minorUnits": 100 }, "method": "CASH",
    });
    let path = format!("/api/patients/{patient}/payments");
    office.post(&path, payment).await.is(201);

    // Nothing to invoice, which is not for want of an account.
    let patient = register(&database).await;
    let path = format!("/api/patients/{patient}/invoices");
    let refused = office.post(&path, json!({})).await.is(409);
    assert_eq!(refused.reason(), "NOTHING_BILLABLE");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn many_ask_at_once_while_it_is_delivered(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = register(&database).await;
    let deliver = async {
        let to = BilledTo::of("Zoë Ωmega", "zoe@clinic.example");
        let opened = office.billing.create_account(patient, &to).await.unwrap();
        sqlx::query("DELETE FROM patients.outbox WHERE patient_id = $1")
            .bind(patient)
            .execute(&database)
            .await
            .unwrap();
        opened.id
    };
    let ask = || account(&office, patient);
    let (delivered, first, second, third) = tokio::join!(deliver, ask(), ask(), ask());
    for asked in [first, second, third, ask().await] {
        assert_eq!(asked.is(200).body["accountId"], json!(delivered));
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_record_that_was_merged_finds_the_survivors(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let survivor = register(&database).await;
    let duplicate = register(&database).await;
    sqlx::query("UPDATE patients.patient SET merged_into = $1, active = false WHERE id = $2")
        .bind(survivor)
        .bind(duplicate)
        .execute(&database)
        .await
        .unwrap();
    let found = account(&office, duplicate).await.is(200);
    assert_eq!(found.body["patientId"], json!(survivor));
}

async fn merge(database: &PgPool, duplicate: Uuid, survivor: Option<Uuid>) {
    sqlx::query(
        "UPDATE patients.patient SET merged_into = $1, active = $1::uuid IS NULL WHERE id = $2",
    )
    .bind(survivor)
    .bind(duplicate)
    .execute(database)
    .await
    .unwrap();
}

/// Whoever was merged into them has an account already.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_new_goes_on_the_account_of_the_survivor(database: PgPool) {
    let office = Office::open(database.clone()).await;
    office.price("VISIT", 6500).await.is(201);
    let duplicate = office.patient().await;
    let new_survivor = async || {
        let survivor = register(&database).await;
        merge(&database, duplicate, Some(survivor)).await;
        survivor
    };

    let survivor = new_survivor().await;
    let charge = office.charge(survivor, "VISIT").await.is(201);
    assert_eq!(charge.body["patientId"], json!(survivor));

    let survivor = new_survivor().await;
    let paid = office.pay(survivor, 100, &[]).await.is(201);
    assert_eq!(paid.body["patientId"], json!(survivor));

    let survivor = new_survivor().await;
    merge(&database, duplicate, None).await;
    office.charge(duplicate, "VISIT").await.is(201);
    merge(&database, duplicate, Some(survivor)).await;
    let draft = office.draft(survivor).await.is(201);
    assert_eq!(draft.body["patientId"], json!(survivor));

    let survivor = new_survivor().await;
    let path = format!("/api/patients/{survivor}/statement");
    office.get(&path).await.is(200);
    assert_eq!(billed_to(&database, survivor).await.0, "Zoë Ωmega");

    let survivor = new_survivor().await;
    let path = format!("/api/patients/{survivor}/statement/deliveries");
    let sent = office.post(&path, json!({})).await.is(201);
    assert_eq!(sent.body["patientId"], json!(survivor));
}

/// What was drafted or issued before the merge stays where it is, and goes to the survivor.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_issued_and_sent_to_the_survivor(database: PgPool) {
    let office = Office::open(database.clone()).await;
    office.price("VISIT", 6500).await.is(201);
    let duplicate = office.patient().await;
    office.charge(duplicate, "VISIT").await.is(201);
    let draft = office.draft(duplicate).await.is(201).id();

    let survivor = register(&database).await;
    merge(&database, duplicate, Some(survivor)).await;
    let path = format!("/api/invoices/{draft}/issue");
    let issued = office.post_empty(&path).await.is(200);
    assert_eq!(issued.body["billedTo"]["name"], "Zoë Ωmega");
    assert_eq!(issued.body["billedTo"]["address"], "1 Harbour Street");

    let survivor = register(&database).await;
    merge(&database, duplicate, Some(survivor)).await;
    let path = format!("/api/invoices/{draft}/deliveries");
    office.post_empty(&path).await.is(201);
    assert!(
        office
            .billing
            .get_account(survivor)
            .await
            .unwrap()
            .is_some()
    );

    // What is there already can be dealt with in the meantime.
    let survivor = register(&database).await;
    merge(&database, duplicate, Some(survivor)).await;
    let path = format!("/api/invoices/{draft}/void");
    office
        .post(&path, json!({ "reason": "Not theirs" }))
        .await
        .is(200);
    assert_eq!(office.billing.get_account(survivor).await.unwrap(), None);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_deleted_patients_account_is_opened_and_closed_in_order(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = register(&database).await;
    sqlx::query("UPDATE patients.patient SET deleted_at = now() WHERE id = $1")
        .bind(patient)
        .execute(&database)
        .await
        .unwrap();
    let kinds = ["BILLING_ACCOUNT", "BILLING_CLOSURE"];
    assert_eq!(waiting(&database, patient).await, kinds);
    // It would be open until the second message is delivered.
    account(&office, patient).await.is(404);
    let billing = &office.billing;
    assert_eq!(billing.get_account(patient).await.unwrap(), None);

    // Who asked before the deletion does not undo what is delivered.
    let to = BilledTo::of("Zoë", "zoe@clinic.example");
    billing.create_account(patient, &to).await.unwrap();
    billing.close_account(patient).await.unwrap();
    let late = billing.create_account(patient, &to).await.unwrap();
    assert_eq!(late.status, AccountStatus::Closed);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_message_that_billing_refuses_opens_nothing(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = Uuid::now_v7();
    register_as(&database, patient, "").await;
    account(&office, patient).await.is(404);
    let refused = office.charge(patient, "VISIT").await.is(404);
    assert_eq!(refused.problem(), "not-found");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn while_billing_is_down_nothing_is_opened(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let patient = register(&database).await;
    let mut down = office.clone();
    down.billing = BillingClient::new("http://127.0.0.1:1", "a-token").unwrap();
    account(&down, patient).await.is(503);
    assert_eq!(office.billing.get_account(patient).await.unwrap(), None);
}

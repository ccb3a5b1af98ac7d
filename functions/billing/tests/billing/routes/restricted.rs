//! What belongs to patients whose record is restricted.

use identity::Role;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::office::{Office, eur, today};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_belongs_to_a_restricted_patient_is_closed(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let charge = office.charge(patient, "UNPRICED-YET").await.is(201).id();
    let payment = office.pay(patient, 100, &[]).await.is(201).id();
    let refund = json!({ "reason": "Paid too much" });
    let refunds = format!("/api/payments/{payment}/refunds");
    let refund = office.post(&refunds, refund).await.is(201).id();
    office.restrict(patient).await;

    let desk = office.acting_as(Role::Receptionist);
    let reason = || json!({ "reason": "None" });
    for path in [
        format!("/api/invoices/{invoice}"),
        format!("/api/invoices/{invoice}/document"),
        format!("/api/charges/{charge}"),
        format!("/api/payments/{payment}"),
        format!("/api/refunds/{refund}"),
        format!("/api/invoices?patientId={patient}"),
        format!("/api/refunds?patientId={patient}"),
        format!("/api/patients/{patient}/charges"),
        format!("/api/patients/{patient}/statement"),
        format!("/api/patients/{patient}/invoices"),
        format!("/api/patients/{patient}/payments"),
    ] {
        desk.get(&path).await.is(403);
        office.get(&path).await.is(200);
    }
    for path in [
        format!("/api/charges/{charge}/cancellation"),
        format!("/api/patients/{patient}/invoices"),
        format!("/api/patients/{patient}/statement/deliveries"),
        format!("/api/invoices/{invoice}/issue"),
        format!("/api/refunds/{refund}/completion"),
    ] {
        desk.post_empty(&path).await.is(403);
    }
    desk.post(&refunds, reason()).await.is(403);
    let listed = desk.get("/api/refunds").await.is(200).body;
    assert_eq!(listed["refunds"], json!([]));
    let listed = desk.get("/api/invoices").await.is(200).body;
    assert_eq!(listed["invoices"], json!([]));
    desk.charge(patient, "VISIT").await.is(403);
    desk.pay(patient, 100, &[]).await.is(403);
    let allocations = json!({ "allocations": [{ "invoiceId": invoice }] });
    desk.post(&format!("/api/payments/{payment}/allocations"), allocations)
        .await
        .is(403);
    // Whom the refusal was about is on record.
    for (thing, action) in [
        (invoice, "READ_INVOICES"),
        (charge, "READ_CHARGES"),
        (payment, "READ_PAYMENTS"),
        (refund, "READ_REFUNDS"),
    ] {
        let recorded = office.recorded(&thing).await;
        let refused = (action.to_owned(), "REFUSED".to_owned(), vec![patient]);
        assert!(recorded.contains(&refused), "{recorded:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_answer_is_not_repeated_to_who_may_not_see_the_patient_any_more(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let desk = office.acting_as(Role::Receptionist).with_key("a-key");
    desk.pay(patient, 100, &[]).await.is(201);
    office.restrict(patient).await;
    desk.pay(patient, 100, &[]).await.is(403);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn restricted_patients_are_in_no_list_of_who_may_not_see_them(database: PgPool) {
    let office = Office::open(database).await;
    let [open, closed] = [office.patient().await, office.patient().await];
    for patient in [open, closed] {
        office.charge(patient, "UNPRICED-YET").await.is(201);
    }
    office.restrict(closed).await;
    let of = |answer: &Value| -> Vec<String> {
        let charges = answer["charges"].as_array().unwrap().iter();
        charges
            .map(|charge| charge["patientId"].as_str().unwrap().to_owned())
            .collect()
    };
    let desk = office.acting_as(Role::Receptionist);
    let seen = desk.get("/api/charges").await.is(200);
    assert_eq!(of(&seen.body), [open.to_string()]);
    let seen = office.get("/api/charges").await.is(200);
    assert_eq!(of(&seen.body), [closed.to_string(), open.to_string()]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn auditors_see_what_restricted_patients_owe(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.invoice(patient).await;
    office.restrict(patient).await;
    let auditor = office.acting_as(Role::Auditor);
    let aging = auditor.get("/api/billing/aging").await.is(200);
    assert_eq!(aging.body["patients"][0]["patientId"], json!(patient));
    assert_eq!(aging.body["total"]["total"], eur(11_900));
    let path = format!("/api/billing/export?from={}&to={}", today(), today());
    let export = auditor.get(&path).await.is(200);
    assert!(!export.body["postings"].as_array().unwrap().is_empty());
}

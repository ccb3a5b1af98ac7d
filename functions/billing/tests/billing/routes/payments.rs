//! Recording, allocating and reversing payments.

use serde_json::json;
use sqlx::PgPool;

use super::office::{Office, eur, nothing};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_payment_pays_invoices_and_leaves_credit(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let payment = office.pay(patient, 15_000, &[&invoice]).await.is(201);
    assert_eq!(payment.body["allocated"], eur(11_900));
    assert_eq!(payment.body["credit"], eur(3100));
    assert_eq!(payment.body["state"], "RECORDED");
    assert_eq!(payment.body["allocations"][0]["invoiceId"], json!(invoice));
    assert!(payment.etag.is_some());
    assert_eq!(office.due(&invoice).await, 0);
    let one = office.get(&format!("/api/payments/{}", payment.id())).await;
    let one = one.is(200);
    assert_eq!(
        (one.etag, one.body),
        (payment.etag.clone(), payment.body.clone())
    );
    let recorded = office.recorded(&payment.id()).await;
    let expected = ["RECORD_PAYMENT", "READ_PAYMENTS"]
        .map(|action| (action.to_owned(), "SUCCEEDED".to_owned(), vec![patient]));
    assert_eq!(recorded, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_same_transfer_is_recorded_once_ever(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let path = format!("/api/patients/{patient}/payments");
    let payment = |reference: &str| json!({ "amount": eur(100), "method": "TRANSFER", "reference": reference });
    office.post(&path, payment("SEPA-1")).await.is(201);
    let again = office.post(&path, payment("SEPA-1")).await.is(409);
    assert_eq!(
        (again.problem(), again.reason()),
        ("conflict", "PAYMENT_KNOWN")
    );
    office.post(&path, payment("SEPA-2")).await.is(201);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn credit_is_used_for_an_invoice_later(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let payment = office.pay(patient, 5000, &[]).await.is(201);
    assert_eq!(payment.body["credit"], eur(5000));
    let path = format!("/api/payments/{}/allocations", payment.id());
    let allocations =
        |cents: i64| json!({ "allocations": [{ "invoiceId": invoice, "amount": eur(cents) }] });
    office.post(&path, allocations(5001)).await.is(409);
    let allocated = office.if_match(&payment.etag.unwrap());
    let allocated = allocated.post(&path, allocations(2000)).await.is(200);
    assert_eq!(allocated.body["credit"], eur(3000));
    let rest = json!({ "allocations": [{ "invoiceId": invoice }] });
    let rest = office.post(&path, rest).await.is(200);
    assert_eq!(rest.body["credit"], eur(0));
    assert_eq!(office.due(&invoice).await, 6900);

    let wrong = json!({ "allocations": [{ "invoiceId": invoice, "amount": eur(0) }] });
    let answer = office.post(&path, wrong).await.is(400);
    assert_eq!(answer.fields(), ["allocations[0].amount"]);
    office
        .post(&path, json!({ "allocations": [] }))
        .await
        .is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_a_payment_that_bounced_has_paid_is_due_again(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let payment = office.pay(patient, 11_900, &[&invoice]).await.is(201).id();
    assert_eq!(office.due(&invoice).await, 0);
    let path = format!("/api/payments/{payment}/reversal");
    let reversed = office
        .post(&path, json!({ "reason": "It bounced" }))
        .await
        .is(200);
    assert_eq!(reversed.body["state"], "REVERSED");
    assert_eq!(reversed.body["reverseReason"], "It bounced");
    assert_eq!(office.due(&invoice).await, 11_900);
    office
        .post(&path, json!({ "reason": "It bounced" }))
        .await
        .is(409);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_payment_is_refused(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let path = format!("/api/patients/{patient}/payments");
    let wrong = json!({ "amount": eur(0), "method": "CASH", "reference": "x".repeat(101) });
    let answer = office.post(&path, wrong).await.is(400);
    assert_eq!(answer.fields(), ["amount", "reference"]);
    let shells = json!({ "amount": eur(1), "method": "SHELLS" });
    let answer = office.post(&path, shells).await.is(400);
    assert_eq!(answer.fields(), ["method"]);
    let answer = office.pay(patient, 100, &[&nothing().to_string()]).await;
    assert_eq!(answer.is(400).fields(), ["invoiceIds[0]"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patients_payments_are_listed(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.pay(patient, 100, &[]).await.is(201);
    let last = office.pay(patient, 200, &[]).await.is(201);
    let path = format!("/api/patients/{patient}/payments?limit=1");
    let page = office.get(&path).await.is(200).body;
    assert_eq!(page["payments"], json!([last.body]));
    assert!(page["nextCursor"].is_string());
}

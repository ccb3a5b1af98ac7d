//! Charging patients, and cancelling charges.

use serde_json::json;
use sqlx::PgPool;

use super::office::{Office, eur, today};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_has_the_price_of_the_day(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    let charge = json!({
        "code": "VISIT", "quantity": 2, "serviceDate": today(), "note": "By telephone",
    });
    let path = format!("/api/patients/{patient}/charges");
    let charge = office.post(&path, charge).await.is(201);
    assert_eq!(charge.body["state"], "BILLABLE");
    assert_eq!(charge.body["unpricedBecause"], json!(null));
    assert_eq!(charge.body["amount"], eur(13_000));
    assert_eq!(charge.body["unitPrice"], eur(6500));
    assert_eq!(charge.body["note"], "By telephone");
    assert_eq!(charge.body["invoiceId"], json!(null));

    let listed = office.get(&path).await.is(200);
    assert_eq!(listed.body["charges"], json!([charge.body]));
    let one = office.get(&format!("/api/charges/{}", charge.id())).await;
    assert_eq!(one.is(200).body, charge.body);
    let recorded = office.recorded(&charge.id()).await;
    let expected = ["RECORD_CHARGE", "READ_CHARGES"]
        .map(|action| (action.to_owned(), "SUCCEEDED".to_owned(), vec![patient]));
    assert_eq!(recorded, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_without_a_price_waits_for_one(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let charge = office.charge(patient, "RARE").await.is(201);
    assert_eq!(charge.body["state"], "UNPRICED");
    assert_eq!(charge.body["unpricedBecause"], "NO_PRICE");
    assert_eq!(charge.body["amount"], json!(null));
    let waiting = office.get("/api/charges?state=UNPRICED").await.is(200);
    assert_eq!(waiting.body["charges"], json!([charge.body]));

    office.price("RARE", 100).await.is(201);
    let waiting = office.get("/api/charges?state=UNPRICED").await.is(200);
    assert_eq!(waiting.body["charges"], json!([]));
    let path = format!("/api/patients/{patient}/charges?state=BILLABLE");
    let billable = office.get(&path).await.is(200);
    assert_eq!(billable.body["charges"][0]["amount"], eur(100));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_is_cancelled_until_it_is_invoiced(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    let charge = office.charge(patient, "VISIT").await.is(201).id();
    let path = format!("/api/charges/{charge}/cancellation");
    let reason = json!({ "reason": "It was somebody else" });
    let cancelled = office.post(&path, reason).await.is(200);
    assert_eq!(cancelled.body["state"], "CANCELLED");
    assert_eq!(cancelled.body["cancelReason"], "It was somebody else");

    let invoiced = office.charge(patient, "VISIT").await.is(201).id();
    let draft = office.draft(patient).await.is(201).id();
    office
        .post_empty(&format!("/api/invoices/{draft}/issue"))
        .await
        .is(200);
    let refused = office
        .post_empty(&format!("/api/charges/{invoiced}/cancellation"))
        .await;
    let refused = refused.is(409);
    assert_eq!(
        (refused.problem(), refused.reason()),
        ("conflict", "CHARGE_INVOICED")
    );
    let recorded = office.recorded(&invoiced).await;
    let failed = (
        "CANCEL_CHARGE".to_owned(),
        "FAILED".to_owned(),
        vec![patient],
    );
    assert!(recorded.contains(&failed), "{recorded:?}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invalid_charge_is_refused(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let path = format!("/api/patients/{patient}/charges");
    let wrong = json!({
        "code": "", "quantity": 1001, "serviceDate": today(), "note": "x".repeat(501),
    });
    let answer = office.post(&path, wrong).await.is(400);
    assert_eq!(answer.fields(), ["code", "note", "quantity"]);
    let tomorrow = chrono::Utc::now().date_naive() + chrono::Days::new(2);
    let early = json!({ "code": "VISIT", "serviceDate": tomorrow.to_string() });
    let answer = office.post(&path, early).await.is(400);
    assert_eq!(answer.fields(), ["serviceDate"]);
    assert_eq!(answer.reason(), "");
    office.get("/api/charges?state=LOST").await.is(400);
    office.get("/api/charges?needsCreditNote=yes").await.is(400);
}

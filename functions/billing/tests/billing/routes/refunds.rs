//! Paying back: asked for by one person, approved by another.

use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::office::{COLLEAGUE, Office, eur};

/// A refund of this much that the office has asked for.
async fn refund(office: &Office, patient: Uuid, cents: i64) -> String {
    let payment = office.pay(patient, 50_000, &[]).await.is(201).id();
    let wanted = json!({ "amount": eur(cents), "reason": "Paid too much" });
    let path = format!("/api/payments/{payment}/refunds");
    let refund = office.post(&path, wanted).await.is(201);
    assert_eq!(refund.body["state"], "REQUESTED");
    assert_eq!(refund.body["amount"], eur(cents));
    assert_eq!(refund.body["method"], "CASH");
    refund.id()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_large_refund_takes_two_people(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let id = refund(&office, patient, 20_000).await;
    let [approval, completion] =
        ["approval", "completion"].map(|step| format!("/api/refunds/{id}/{step}"));
    office.post_empty(&completion).await.is(409);
    let own = office.post_empty(&approval).await.is(409);
    assert_eq!(
        (own.problem(), own.reason()),
        ("conflict", "SECOND_PERSON_REQUIRED")
    );

    let approved = office.with_colleague().post_empty(&approval).await.is(200);
    assert_eq!(approved.body["state"], "APPROVED");
    assert_eq!(approved.body["approvedBy"], json!(COLLEAGUE));
    assert_eq!(approved.body["secondPersonRequired"], json!(true));
    let desk = office.acting_as(Role::Receptionist);
    let done = desk
        .post(&completion, json!({ "reference": "SEPA-9" }))
        .await
        .is(200);
    assert_eq!(done.body["state"], "COMPLETED");
    assert_eq!(done.body["reference"], "SEPA-9");
    office.post_empty(&completion).await.is(409);

    let recorded = office.recorded(&id).await;
    let succeeded = recorded
        .into_iter()
        .filter(|(_, outcome, _)| outcome == "SUCCEEDED");
    let actions: Vec<String> = succeeded.map(|(action, ..)| action).collect();
    assert_eq!(
        actions,
        ["REQUEST_REFUND", "APPROVE_REFUND", "COMPLETE_REFUND"]
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_small_refund_is_approved_by_who_asked_for_it(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let id = refund(&office, patient, 500).await;
    let approved = office
        .post_empty(&format!("/api/refunds/{id}/approval"))
        .await
        .is(200);
    assert_eq!(approved.body["secondPersonRequired"], json!(false));
    let done = office
        .post_empty(&format!("/api/refunds/{id}/completion"))
        .await
        .is(200);
    assert_eq!(done.body["reference"], json!(null));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_rejected_refund_is_credit_again(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let payment = office.pay(patient, 1000, &[]).await.is(201).id();
    let path = format!("/api/payments/{payment}/refunds");
    let all = || json!({ "reason": "Paid too much" });
    let first = office.post(&path, all()).await.is(201);
    assert_eq!(first.body["amount"], eur(1000));
    office.post(&path, all()).await.is(409);
    let rejection = format!("/api/refunds/{}/rejection", first.id());
    office
        .post(&rejection, json!({ "reason": "" }))
        .await
        .is(400);
    let rejected = office
        .post(&rejection, json!({ "reason": "To be kept" }))
        .await
        .is(200);
    assert_eq!(rejected.body["state"], "REJECTED");
    assert_eq!(rejected.body["rejectionReason"], "To be kept");
    office.post(&path, all()).await.is(201);
    let too_little = json!({ "amount": eur(0), "reason": "" });
    let answer = office.post(&path, too_little).await.is(400);
    assert_eq!(answer.fields(), ["amount", "reason"]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn whoever_asks_at_the_desk_cannot_approve(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let desk = office.acting_as(Role::Receptionist);
    let id = refund(&desk, patient, 500).await;
    desk.post_empty(&format!("/api/refunds/{id}/approval"))
        .await
        .is(403);
    let stale = office.if_match("\"999\"");
    stale
        .post_empty(&format!("/api/refunds/{id}/approval"))
        .await
        .is(412);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_refund_is_looked_at(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let payment = office.pay(patient, 1000, &[]).await.is(201).id();
    let path = format!("/api/payments/{payment}/refunds");
    let asked = json!({ "reason": "Paid too much" });
    let asked = office.post(&path, asked).await.is(201);
    let one = office.get(&format!("/api/refunds/{}", asked.id())).await;
    let one = one.is(200);
    assert!(one.etag.is_some());
    assert_eq!((&one.etag, &one.body), (&asked.etag, &asked.body));
    // What was read can be changed as it was read.
    let approved = office.if_match(&one.etag.unwrap());
    let path = format!("/api/refunds/{}/approval", asked.id());
    approved.post_empty(&path).await.is(200);
    let recorded = office.recorded(&asked.id()).await;
    let expected = ["REQUEST_REFUND", "READ_REFUNDS", "APPROVE_REFUND"]
        .map(|action| (action.to_owned(), "SUCCEEDED".to_owned(), vec![patient]));
    assert_eq!(recorded, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn refunds_are_listed_by_state_and_patient(database: PgPool) {
    let office = Office::open(database).await;
    let [one, other] = [office.patient().await, office.patient().await];
    let first = refund(&office, one, 500).await;
    let second = refund(&office, other, 500).await;
    let third = refund(&office, one, 500).await;
    office
        .post_empty(&format!("/api/refunds/{first}/approval"))
        .await
        .is(200);
    for (query, expected) in [
        (String::new(), vec![&third, &second, &first]),
        (format!("?patientId={one}"), vec![&third, &first]),
        ("?state=REQUESTED".to_owned(), vec![&third, &second]),
        (format!("?patientId={one}&state=APPROVED"), vec![&first]),
        (format!("?patientId={other}&state=APPROVED"), vec![]),
    ] {
        let listed = office.get(&format!("/api/refunds{query}")).await.is(200);
        let refunds = listed.body["refunds"].as_array().unwrap().iter();
        let ids: Vec<_> = refunds.map(|refund| &refund["id"]).collect();
        assert_eq!(json!(ids), json!(expected), "{query}");
    }
    office.get("/api/refunds?patientId=42").await.is(400);
}

//! A request that is repeated with its key happens once.

use futures::future::join_all;
use serde_json::json;
use sqlx::PgPool;

use super::office::{Office, eur};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_repeated_request_gets_the_first_answer(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201);
    let issue = format!("/api/invoices/{}/issue", draft.id());
    // By the time of the repetition, the invoice has another version.
    let keyed = office
        .with_key("issue-it")
        .if_match(&draft.etag.clone().unwrap());
    let first = keyed.post_empty(&issue).await.is(200);
    assert!(!first.replayed);
    let again = keyed.post_empty(&issue).await.is(200);
    assert!(again.replayed);
    assert_eq!((again.text, again.etag), (first.text, first.etag));

    let recorded = office.recorded(&draft.id()).await;
    let issued = recorded.iter().filter(|(action, outcome, patients)| {
        action == "ISSUE_INVOICE" && outcome == "SUCCEEDED" && *patients == [patient]
    });
    assert_eq!(
        issued.count(),
        2,
        "somebody has looked at it once more: {recorded:?}"
    );
}

/// The second version is that of the repetition.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_request_for_several_versions_is_the_same_when_it_is_repeated(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201);
    let issue = format!("/api/invoices/{}/issue", draft.id());
    let keyed = office.with_key("issue-it").if_match(r#""1", "2""#);
    let first = keyed.post_empty(&issue).await.is(200);
    for tags in [r#""1", "2""#, r#""2","1""#] {
        let again = keyed.if_match(tags).post_empty(&issue).await.is(200);
        assert!(again.replayed);
        assert_eq!(
            (again.text, again.etag),
            (first.text.clone(), first.etag.clone())
        );
    }
    let other = keyed.if_match(r#""1", "3""#).post_empty(&issue).await;
    assert_eq!(other.is(422).problem(), "idempotency-key-reused");
    let stale = office.with_key("once-more").if_match(r#""1", "3""#);
    stale.post_empty(&issue).await.is(412);
}

/// Also where the request cannot name what it makes.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_repeats_a_request_is_on_record_with_what_it_made(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    let keyed = office.with_key("once");
    let mut made = Vec::new();
    for _ in 0..2 {
        let charge = keyed.charge(patient, "VISIT").await.is(201);
        let draft = keyed.draft(patient).await.is(201);
        let payment = keyed.pay(patient, 1000, &[]).await.is(201);
        let refund = format!("/api/payments/{}/refunds", payment.id());
        let asked = json!({ "amount": eur(100), "reason": "Paid twice" });
        let refund = keyed.post(&refund, asked).await.is(201);
        made.push([charge, draft, payment, refund].map(|answer| answer.id()));
    }
    assert_eq!(made[0], made[1]);
    for id in &made[0] {
        let recorded = office.recorded(id).await;
        let made = recorded
            .iter()
            .filter(|(_, outcome, patients)| outcome == "SUCCEEDED" && *patients == [patient]);
        assert_eq!(made.count(), 2, "{recorded:?}");
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn fifty_callers_with_one_key_pay_once(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let keyed = office.with_key("pay-once");
    let invoices = [&*invoice];
    let payments = (0..50).map(|_| keyed.pay(patient, 5000, &invoices));
    let answers = join_all(payments).await;
    let first = &answers[0].text;
    for answer in &answers {
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(&answer.text, first);
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(office.due(&invoice).await, 6900);

    let other = keyed.pay(patient, 5001, &[&invoice]).await.is(422);
    assert_eq!(other.problem(), "idempotency-key-reused");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_key_belongs_to_one_person_and_one_path(database: PgPool) {
    let office = Office::open(database).await;
    let [one, other] = [office.patient().await, office.patient().await];
    let keyed = office.with_key("a-key");
    let first = keyed.pay(one, 100, &[]).await.is(201).id();
    assert_ne!(keyed.pay(other, 100, &[]).await.is(201).id(), first);
    assert_ne!(
        keyed.with_colleague().pay(one, 100, &[]).await.is(201).id(),
        first
    );
    assert_eq!(keyed.pay(one, 100, &[]).await.is(201).id(), first);
    // Without a key, each request is a new one.
    office.pay(one, 100, &[]).await.is(201);
    office.pay(one, 100, &[]).await.is(201);
    let statement = office
        .get(&format!("/api/patients/{one}/statement"))
        .await
        .is(200);
    assert_eq!(statement.body["closing"], eur(-400));
    office.with_key("").pay(one, 100, &[]).await.is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_was_refused_leaves_its_key_free(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let keyed = office.with_key("a-key");
    let path = format!("/api/patients/{patient}/payments");
    keyed
        .post(&path, json!({ "amount": eur(0), "method": "CASH" }))
        .await
        .is(400);
    keyed
        .pay(patient, 100, &[&super::office::nothing().to_string()])
        .await
        .is(400);
    keyed.pay(patient, 100, &[]).await.is(201);
}

//! Invoices that are sent.

use documents::reading;
use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::office::{Answer, Office, nothing};

async fn send(office: &Office, invoice: &str) -> Answer {
    office
        .post_empty(&format!("/api/invoices/{invoice}/deliveries"))
        .await
}

/// The messages that notifications is to send: the id, and whom to.
async fn to_send(office: &Office) -> Vec<(Uuid, Uuid)> {
    sqlx::query_as(
        "SELECT id, patient_id FROM notifications.message
         WHERE kind = 'INVOICE_SENT' AND channel = 'EMAIL' AND state = 'PENDING' ORDER BY id",
    )
    .fetch_all(&office.database)
    .await
    .unwrap()
}

/// What notifications gets to send.
async fn document_of(office: &Office, delivery: Uuid) -> Option<(String, String, Vec<u8>)> {
    sqlx::query_as("SELECT number, file_name, content FROM billing.document_of($1)")
        .bind(delivery)
        .fetch_optional(&office.database)
        .await
        .unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_sent_as_it_is_once_for_each_key(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let desk = office.acting_as(Role::Receptionist).with_key("send");
    let sent = send(&desk, &invoice).await.is(201);
    let again = send(&desk, &invoice).await.is(201);
    assert!(!sent.replayed && again.replayed);
    assert_eq!(sent.body, again.body);
    assert_eq!(sent.body["invoiceId"], json!(invoice));
    assert_eq!(sent.body["patientId"], json!(patient));
    let delivery: Uuid = sent.id().parse().unwrap();
    assert_eq!(to_send(&office).await, [(delivery, patient)]);

    // As it was then, whatever is paid meanwhile.
    office.pay(patient, 5000, &[&invoice]).await.is(201);
    let shown = office.get(&format!("/api/invoices/{invoice}")).await;
    let (number, file, content) = document_of(&office, delivery).await.unwrap();
    assert_eq!(shown.body["number"], json!(number));
    assert_eq!(file, format!("{number}.pdf"));
    let pages = reading::pages(&content);
    let text: String = pages.iter().flat_map(|page| reading::lines(page)).collect();
    assert!(text.contains("119.00") && text.contains(&number), "{text}");
    assert!(!text.contains("69.00"), "{text}");

    // Without the key, it is another request.
    send(&office, &invoice).await.is(201);
    assert_eq!(to_send(&office).await.len(), 2);

    let recorded = office.recorded(&invoice).await;
    let record = (
        "SEND_INVOICE".to_owned(),
        "SUCCEEDED".to_owned(),
        vec![patient],
    );
    let sends = recorded.iter().filter(|recorded| **recorded == record);
    assert!(sends.count() >= 2, "{recorded:?}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_what_was_issued_is_sent(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201).id();
    let refused = send(&office, &draft).await.is(409);
    assert_eq!(refused.body["detail"], "The invoice is not issued, or void");

    let issue = format!("/api/invoices/{draft}/issue");
    office.post_empty(&issue).await.is(200);
    let delivery: Uuid = send(&office, &draft).await.is(201).id().parse().unwrap();
    assert!(document_of(&office, delivery).await.is_some());
    let void = format!("/api/invoices/{draft}/void");
    let reason = json!({ "reason": "A mistake" });
    office.post(&void, reason).await.is(200);
    // Not even if it was asked for before.
    assert_eq!(document_of(&office, delivery).await, None);
    send(&office, &draft).await.is(409);
    send(&office, &nothing().to_string()).await.is(404);
    let clinician = office.acting_as(Role::Clinician);
    send(&clinician, &draft).await.is(403);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_cannot_or_must_not_be_reached_is_sent_nothing(database: PgPool) {
    let office = Office::open(database).await;
    for (change, detail, reason) in [
        (
            "UPDATE billing.account SET email = NULL",
            "The patient has no e-mail address",
            "NO_EMAIL_ADDRESS",
        ),
        (
            "UPDATE billing.account SET status = 'CLOSED', closed_at = now()",
            "The patient's account is closed",
            "ACCOUNT_CLOSED",
        ),
        (
            "UPDATE patients.patient SET restricted = true",
            "The patient's record is restricted: nothing is sent to them by e-mail",
            "PATIENT_RESTRICTED",
        ),
    ] {
        let patient = office.patient().await;
        let invoice = office.invoice(patient).await;
        sqlx::raw_sql(change)
            .execute(&office.database)
            .await
            .unwrap();
        let refused = send(&office, &invoice).await.is(409);
        assert_eq!(refused.body["detail"], detail);
        assert_eq!(refused.reason(), reason);
        if change.contains("restricted") {
            let desk = office.acting_as(Role::Receptionist);
            send(&desk, &invoice).await.is(403);
        }
    }
    assert_eq!(to_send(&office).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_who_is_erased_no_document_is_left(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let delivery: Uuid = send(&office, &invoice).await.is(201).id().parse().unwrap();
    office.erase(patient).await;
    assert_eq!(document_of(&office, delivery).await, None);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.delivery")
        .fetch_one(&office.database)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

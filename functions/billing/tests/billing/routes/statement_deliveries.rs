//! Statements that are sent.

use std::time::{Duration, Instant};

use billing::{outbox::Delivery, relay_billing_events::relay_billing_events};
use chrono::NaiveDate;
use documents::reading;
use identity::Role;
use kafka::Cluster;
use outbox::KafkaOnly;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::office::{Answer, Office, nothing, today};

async fn send(office: &Office, patient: Uuid, period: Value) -> Answer {
    let path = format!("/api/patients/{patient}/statement/deliveries");
    office.post(&path, period).await
}

/// The messages that notifications is to send: the id, and whom to.
async fn to_send(office: &Office) -> Vec<(Uuid, Uuid)> {
    sqlx::query_as(
        "SELECT id, patient_id FROM notifications.message
         WHERE kind = 'STATEMENT_SENT' AND channel = 'EMAIL' AND state = 'PENDING' ORDER BY id",
    )
    .fetch_all(&office.database)
    .await
    .unwrap()
}

/// What notifications gets to send.
async fn statement_of(
    office: &Office,
    delivery: Uuid,
) -> Option<(NaiveDate, NaiveDate, String, Vec<u8>)> {
    sqlx::query_as("SELECT from_date, to_date, file_name, content FROM billing.statement_of($1)")
        .bind(delivery)
        .fetch_optional(&office.database)
        .await
        .unwrap()
}

/// The text of a document.
fn text(document: &[u8]) -> String {
    let pages = reading::pages(document);
    let lines = pages.iter().flat_map(|page| reading::lines(page));
    lines.collect::<Vec<_>>().join("\n")
}

fn id_of(sent: &Answer) -> Uuid {
    sent.id().parse().unwrap()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_is_sent_as_it_is_once_for_each_key(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let desk = office.acting_as(Role::Receptionist).with_key("send");
    let period = || json!({ "from": "2026-01-01", "to": today() });
    let sent = send(&desk, patient, period()).await.is(201);
    let again = send(&desk, patient, period()).await.is(201);
    assert!(!sent.replayed && again.replayed);
    assert_eq!(sent.body, again.body);
    let mut fields: Vec<_> = sent.body.as_object().unwrap().keys().collect();
    fields.sort();
    let all = ["createdAt", "createdBy", "from", "id", "patientId", "to"];
    assert_eq!(fields, all);
    assert_eq!(sent.body["patientId"], json!(patient));
    assert_eq!(
        (&sent.body["from"], &sent.body["to"]),
        (&json!("2026-01-01"), &json!(today()))
    );
    assert_eq!(to_send(&office).await, [(id_of(&sent), patient)]);
    let other = json!({ "from": "2026-01-02", "to": today() });
    let reused = send(&desk, patient, other).await.is(422);
    assert_eq!(reused.problem(), "idempotency-key-reused");

    // As it was then, whatever is paid meanwhile.
    office.pay(patient, 5000, &[&invoice]).await.is(201);
    let number = office.get(&format!("/api/invoices/{invoice}")).await;
    let number = number.body["number"].as_str().unwrap().to_owned();
    let (from, to, file, content) = statement_of(&office, id_of(&sent)).await.unwrap();
    assert_eq!(
        (from.to_string(), to.to_string()),
        ("2026-01-01".to_owned(), today())
    );
    assert_eq!(file, format!("statement-{}.pdf", today()));
    let said = text(&content);
    assert!(
        said.contains("119.00") && said.contains(&number) && said.contains("Zoë"),
        "{said}"
    );
    assert!(!said.contains("69.00"), "{said}");

    // Without the key, it is another request.
    let later = send(&office, patient, period()).await.is(201);
    assert_eq!(to_send(&office).await.len(), 2);
    let (_, _, _, content) = statement_of(&office, id_of(&later)).await.unwrap();
    assert!(text(&content).contains("69.00"));

    let recorded: Vec<(Option<String>, Vec<Uuid>)> = sqlx::query_as(
        "SELECT resource_type, patient_ids FROM audit.record
         WHERE action = 'SEND_STATEMENT' AND outcome = 'SUCCEEDED'",
    )
    .fetch_all(&office.database)
    .await
    .unwrap();
    // The repetition is on record, too, and has made nothing.
    let made = recorded
        .iter()
        .filter(|(kind, _)| kind.as_deref() == Some("BILLING_ACCOUNT"));
    assert_eq!((recorded.len(), made.count()), (3, 2), "{recorded:?}");
    assert!(
        recorded.iter().all(|(_, patients)| *patients == [patient]),
        "{recorded:?}"
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_has_the_defaults_and_bounds_of_the_one_that_is_read(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    // Nothing has happened yet: there is nothing on it.
    let empty = send(&office, patient, json!({})).await.is(201);
    assert_eq!(
        (&empty.body["from"], &empty.body["to"]),
        (&json!(today()), &json!(today()))
    );
    let (_, _, _, content) = statement_of(&office, id_of(&empty)).await.unwrap();
    assert!(text(&content).contains("0.00"), "{}", text(&content));

    let invoice = office.invoice(patient).await;
    let path = format!("/api/patients/{patient}/statement/deliveries");
    let whole = office.post_empty(&path).await.is(201);
    assert_eq!(
        (&whole.body["from"], &whole.body["to"]),
        (&json!(today()), &json!(today()))
    );
    let number = office.get(&format!("/api/invoices/{invoice}")).await;
    let number = number.body["number"].as_str().unwrap().to_owned();
    let content = async |sent: &Answer| {
        let (_, _, _, content) = statement_of(&office, id_of(sent)).await.unwrap();
        text(&content)
    };
    assert!(content(&whole).await.contains(&number));

    for (period, has_it) in [
        (json!({ "from": today(), "to": today() }), true),
        (json!({ "to": "2020-12-31" }), false),
        (json!({ "from": "2120-01-01", "to": "2120-12-31" }), false),
        (json!({ "currency": "JPY" }), false),
        (json!({ "currency": "EUR", "from": null, "to": null }), true),
    ] {
        let sent = send(&office, patient, period.clone()).await.is(201);
        assert_eq!(content(&sent).await.contains(&number), has_it, "{period}");
    }
    for (period, field) in [
        (json!({ "from": "2026-03-02", "to": "2026-03-01" }), "to"),
        (json!({ "from": "2120-01-01" }), "to"),
        (json!({ "from": "2026-02-29" }), "from"),
        (json!({ "to": "yesterday" }), "to"),
        (json!({ "currency": "XXX" }), "currency"),
    ] {
        let refused = send(&office, patient, period.clone()).await.is(400);
        assert_eq!(refused.fields(), [field], "{period}: {}", refused.text);
    }
    send(&office, nothing(), json!({})).await.is(404);
    let clinician = office.acting_as(Role::Clinician);
    send(&clinician, patient, json!({})).await.is(403);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_cannot_or_must_not_be_reached_is_sent_no_statement(database: PgPool) {
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
        sqlx::raw_sql(change)
            .execute(&office.database)
            .await
            .unwrap();
        let refused = send(&office, patient, json!({})).await.is(409);
        assert_eq!(refused.body["detail"], detail);
        assert_eq!(refused.reason(), reason);
    }
    assert_eq!(to_send(&office).await, []);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn of_who_is_erased_no_statement_is_left(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let sent = send(&office, patient, json!({})).await.is(201);
    assert!(statement_of(&office, id_of(&sent)).await.is_some());
    office.erase(patient).await;
    assert_eq!(statement_of(&office, id_of(&sent)).await, None);
}

/// The statement of who was one patient would tell one of them about the other.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_of_two_records_is_not_sent_when_they_are_two_patients_again(database: PgPool) {
    let office = Office::open(database).await;
    let (survivor, absorbed) = (office.patient().await, office.patient().await);
    let invoice = office.invoice(absorbed).await;
    let merge = async |into: Option<Uuid>| {
        sqlx::query(
            "UPDATE patients.patient SET merged_into = $1, active = $1::uuid IS NULL WHERE id = $2",
        )
        .bind(into)
        .bind(absorbed)
        .execute(&office.database)
        .await
        .unwrap();
    };
    merge(Some(survivor)).await;
    let sent = send(&office, absorbed, json!({})).await.is(201);
    // To who they are now.
    assert_eq!(sent.body["patientId"], json!(survivor));
    assert_eq!(to_send(&office).await, [(id_of(&sent), survivor)]);
    let number = office.get(&format!("/api/invoices/{invoice}")).await;
    let number = number.body["number"].as_str().unwrap().to_owned();
    let (_, _, _, content) = statement_of(&office, id_of(&sent)).await.unwrap();
    assert!(text(&content).contains(&number));

    merge(None).await;
    assert_eq!(statement_of(&office, id_of(&sent)).await, None);
    merge(Some(survivor)).await;
    assert!(statement_of(&office, id_of(&sent)).await.is_some());
    // It goes with either of them.
    merge(None).await;
    office.erase(absorbed).await;
    merge(Some(survivor)).await;
    assert_eq!(statement_of(&office, id_of(&sent)).await, None);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn what_is_sent_is_kept_for_seven_days(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let kept = send(&office, patient, json!({})).await.is(201);
    let old = send(&office, patient, json!({})).await.is(201);
    for (sent, days) in [(&kept, 6), (&old, 8)] {
        sqlx::query("UPDATE billing.delivery SET created_at = now() - make_interval(days => $2) WHERE id = $1")
            .bind(id_of(sent))
            .bind(days)
            .execute(&office.database)
            .await
            .unwrap();
    }
    // Nothing has happened that others must learn of: no Kafka is asked.
    let delivery = Delivery::new(KafkaOnly::new(Cluster::unprotected("127.0.0.1:1")));
    let until = Instant::now() + Duration::from_secs(30);
    relay_billing_events(&office.database, &delivery, until)
        .await
        .unwrap();
    assert!(statement_of(&office, id_of(&kept)).await.is_some());
    assert_eq!(statement_of(&office, id_of(&old)).await, None);
}

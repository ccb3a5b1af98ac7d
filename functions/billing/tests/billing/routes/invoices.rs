//! Drafting, issuing, voiding, crediting and writing off invoices.

use axum::http::Method;
use identity::Role;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::office::{Office, eur, nothing, today};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_drafted_and_issued(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);

    let draft = office.draft(patient).await.is(201);
    let id = draft.id();
    assert_eq!(draft.body["state"], "DRAFT");
    assert_eq!(draft.body["number"], json!(null));
    assert_eq!(draft.body["total"], eur(7735));
    assert_eq!(draft.body["lines"][0]["tax"], eur(1235));
    assert_eq!(
        draft.location.as_deref(),
        Some(&*format!("../../invoices/{id}"))
    );

    let issue = format!("/api/invoices/{id}/issue");
    let issued = office.post_empty(&issue).await.is(200);
    assert_eq!(issued.body["state"], "ISSUED");
    assert_eq!(issued.body["due"], eur(7735));
    assert!(issued.body["number"].is_string());
    assert!(issued.body["dueDate"].is_string());
    assert_eq!(issued.body["billedTo"]["name"], "Zoë");

    let read = office.get(&format!("/api/invoices/{id}")).await.is(200);
    assert_eq!((read.body, read.etag), (issued.body, issued.etag));
    let again = office.post_empty(&issue).await.is(409);
    assert_eq!(again.problem(), "conflict");

    let recorded = office.recorded(&id).await;
    let expected = [
        ("DRAFT_INVOICE", "SUCCEEDED"),
        ("ISSUE_INVOICE", "SUCCEEDED"),
        ("READ_INVOICES", "SUCCEEDED"),
        ("ISSUE_INVOICE", "FAILED"),
    ]
    .map(|(action, outcome)| (action.to_owned(), outcome.to_owned(), vec![patient]));
    assert_eq!(recorded, expected);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_invoice_is_drafted_from_the_charges_that_are_named(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    let one = office.charge(patient, "VISIT").await.is(201).id();
    office.charge(patient, "VISIT").await.is(201);
    let path = format!("/api/patients/{patient}/invoices");
    let draft = office
        .post(&path, json!({ "chargeIds": [one] }))
        .await
        .is(201);
    assert_eq!(draft.body["lines"].as_array().unwrap().len(), 1);
    assert_eq!(draft.body["lines"][0]["chargeId"], json!(one));

    office
        .post(&path, json!({ "chargeIds": [one] }))
        .await
        .is(409);
    office.post(&path, json!({ "chargeIds": [] })).await.is(400);
    office.draft(patient).await.is(201);
    let nothing_left = office.draft(patient).await.is(409);
    assert_eq!(nothing_left.problem(), "conflict");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn only_the_version_that_was_read_is_changed(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201);
    let (id, tag) = (draft.id(), draft.etag.unwrap());
    let issue = format!("/api/invoices/{id}/issue");
    for stale in ["\"0\"", "\"999\"", "\"of-another-system\""] {
        let refused = office.if_match(stale).post_empty(&issue).await.is(412);
        assert_eq!(refused.problem(), "precondition-failed");
    }
    let issued = office.if_match(&tag).post_empty(&issue).await.is(200);
    assert_ne!(issued.etag.as_deref(), Some(&*tag));
    let void = format!("/api/invoices/{id}/void");
    let reason = || json!({ "reason": "A mistake" });
    office.if_match(&tag).post(&void, reason()).await.is(412);
    let either = format!("{tag}, {}", issued.etag.unwrap());
    office.if_match(&either).post(&void, reason()).await.is(200);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_draft_is_changed_until_it_is_issued(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    let [one, other] = [
        office.charge(patient, "VISIT").await.is(201).id(),
        office.charge(patient, "VISIT").await.is(201).id(),
    ];
    let draft = office.draft(patient).await.is(201);
    let (id, tag) = (draft.id(), draft.etag.unwrap());
    let path = format!("/api/invoices/{id}");
    let put = async |office: &Office, charges: &[&str]| {
        let content = json!({ "chargeIds": charges });
        office.send(Method::PUT, &path, Some(&content)).await
    };
    let changed = put(&office.if_match(&tag), &[&other]).await.is(200);
    let lines = changed.body["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["chargeId"], json!(other));
    assert_eq!(changed.body["total"], eur(7735));
    assert_ne!(changed.etag.as_deref(), Some(&*tag));
    put(&office.if_match(&tag), &[&one]).await.is(412);
    // In the order in which they are named.
    let both = put(&office, &[&other, &one]).await.is(200);
    assert_eq!(both.body["lines"][1]["chargeId"], json!(one));
    assert_eq!(both.body["total"], eur(15_470));

    for wrong in [&[] as &[&str], &[&one, &one], &["42"]] {
        put(&office, wrong).await.is(400);
    }
    let unknown = put(&office, &[&nothing().to_string()]).await.is(409);
    assert_eq!(unknown.problem(), "conflict");
    let issue = format!("{path}/issue");
    office.post_empty(&issue).await.is(200);
    put(&office, &[&one]).await.is(409);
    let recorded = office.recorded(&id).await;
    let (action, outcome, _) = recorded.last().unwrap();
    assert_eq!((&**action, &**outcome), ("DRAFT_INVOICE", "FAILED"));

    office.restrict(patient).await;
    let desk = office.acting_as(Role::Receptionist);
    put(&desk, &[&one]).await.is(403);
    desk.send(Method::DELETE, &path, None).await.is(403);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_draft_is_deleted_once(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201);
    let (id, tag) = (draft.id(), draft.etag.unwrap());
    let path = format!("/api/invoices/{id}");
    let delete = async |office: &Office| office.send(Method::DELETE, &path, None).await;
    delete(&office.if_match("\"999\"")).await.is(412);
    let once = office.with_key("delete-once").if_match(&tag);
    let deleted = delete(&once).await.is(204);
    assert_eq!((deleted.replayed, &*deleted.text), (false, ""));
    assert!(delete(&once).await.is(204).replayed);
    delete(&office).await.is(404);
    office.get(&path).await.is(404);
    // Its charge can be billed again.
    let issued = office.draft(patient).await.is(201).id();
    let issue = format!("/api/invoices/{issued}/issue");
    office.post_empty(&issue).await.is(200);
    let path = format!("/api/invoices/{issued}");
    office.send(Method::DELETE, &path, None).await.is(409);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_voided_invoice_keeps_its_number_and_gives_back_what_was_paid(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    office.pay(patient, 5000, &[&invoice]).await.is(201);
    assert_eq!(office.due(&invoice).await, 6900);

    let void = format!("/api/invoices/{invoice}/void");
    office.post(&void, json!({ "reason": " " })).await.is(400);
    let voided = office
        .post(&void, json!({ "reason": "A mistake" }))
        .await
        .is(200);
    assert_eq!(voided.body["state"], "VOID");
    assert_eq!(voided.body["reason"], "A mistake");
    assert_eq!(voided.body["due"], eur(0));
    assert!(voided.body["number"].is_string());
    let statement = office
        .get(&format!("/api/patients/{patient}/statement"))
        .await
        .is(200);
    assert_eq!(statement.body["closing"], eur(-5000));
    // Its charges can be billed again, and the credit pays.
    let draft = office.draft(patient).await.is(201).id();
    let issued = office
        .post_empty(&format!("/api/invoices/{draft}/issue"))
        .await
        .is(200);
    assert_eq!(issued.body["due"], eur(6900));
    office
        .post(&void, json!({ "reason": "A mistake" }))
        .await
        .is(409);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_part_of_an_invoice_is_credited(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let path = format!("/api/invoices/{invoice}/credit-notes");
    let part = json!({ "reason": "Shorter than agreed", "amount": eur(1190) });
    let note = office.post(&path, part.clone()).await.is(201);
    assert_eq!(note.body["total"], eur(1190));
    assert_eq!(note.body["net"], eur(1000));
    assert_eq!(note.body["tax"], eur(190));
    assert!(note.body["number"].is_string());
    let read = office
        .get(&format!("/api/invoices/{invoice}"))
        .await
        .is(200);
    assert_eq!(read.body["creditNotes"], json!([note.body]));
    assert_eq!(read.body["credited"], eur(1190));
    assert_eq!(read.etag, note.etag);
    assert_eq!(office.due(&invoice).await, 10_710);

    let too_much = json!({ "reason": "All", "amount": eur(11_900) });
    office.post(&path, too_much).await.is(409);
    let nothing = json!({ "reason": "", "amount": eur(0), "lineIds": [] });
    let answer = office.post(&path, nothing).await.is(400);
    assert_eq!(answer.fields(), ["amount", "lineIds", "reason"]);
    office
        .post(&path, json!({ "reason": "All of the rest" }))
        .await
        .is(201);
    assert_eq!(office.due(&invoice).await, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn writing_off_much_takes_two_people(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let path = format!("/api/invoices/{invoice}/write-off");
    let reason = || json!({ "reason": "The patient has moved away" });
    let asked = office.post(&path, reason()).await.is(200);
    assert_eq!(asked.body["state"], "ISSUED");
    assert_eq!(asked.body["writeOffRequest"]["amount"], eur(11_900));
    office.post(&path, reason()).await.is(409);
    assert_eq!(office.due(&invoice).await, 11_900);

    let done = office.with_colleague().post(&path, reason()).await.is(200);
    assert_eq!(done.body["state"], "WRITTEN_OFF");
    assert_eq!(done.body["writtenOff"], eur(11_900));
    assert_eq!(done.body["due"], eur(0));
    office.post(&path, reason()).await.is(409);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_write_off_is_rejected(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let path = format!("/api/invoices/{invoice}/write-off");
    let rejection = format!("{path}-rejection");
    let reason = || json!({ "reason": "The patient will pay in instalments" });
    office.post(&rejection, reason()).await.is(409);
    let asked = office.post(&path, reason()).await.is(200);
    let colleague = office.with_colleague();
    colleague
        .post(&rejection, json!({ "reason": "" }))
        .await
        .is(400);
    let rejected = colleague.if_match(&asked.etag.unwrap());
    let rejected = rejected.post(&rejection, reason()).await.is(200);
    assert_eq!(rejected.body["state"], "ISSUED");
    assert_eq!(rejected.body["writeOffRequest"], json!(null));
    assert_eq!(rejected.body["due"], eur(11_900));
    colleague.post(&rejection, reason()).await.is(409);
    // Nobody grants what was rejected: it is asked for anew.
    let again = colleague.post(&path, reason()).await.is(200);
    assert_eq!(again.body["state"], "ISSUED");
    assert!(again.body["writeOffRequest"].is_object());
    let desk = office.acting_as(Role::Receptionist);
    desk.post(&rejection, reason()).await.is(403);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_little_is_written_off_by_one_person(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    office.pay(patient, 11_000, &[&invoice]).await.is(201);
    let path = format!("/api/invoices/{invoice}/write-off");
    let done = office
        .post(&path, json!({ "reason": "Not worth a letter" }))
        .await
        .is(200);
    assert_eq!(done.body["state"], "WRITTEN_OFF");
    assert_eq!(done.body["writtenOff"], eur(900));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patients_invoices_are_listed_without_their_lines(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let [first, second] = [office.invoice(patient).await, office.invoice(patient).await];
    let path = format!("/api/patients/{patient}/invoices?limit=1");
    let page = office.get(&path).await.is(200).body;
    assert_eq!(page["invoices"][0]["id"], json!(second));
    assert_eq!(page["invoices"][0]["due"], eur(11_900));
    let cursor = page["nextCursor"].as_str().unwrap();
    let page = office
        .get(&format!("{path}&cursor={cursor}"))
        .await
        .is(200)
        .body;
    assert_eq!(page["invoices"][0]["id"], json!(first));
    assert_eq!(page["nextCursor"], json!(null));
    let drafts = office
        .get(&format!("{path}&state=DRAFT"))
        .await
        .is(200)
        .body;
    assert_eq!(drafts["invoices"], json!([]));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_clinics_invoices_are_listed(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let [one, other] = [office.patient().await, office.patient().await];
    let late = office.invoice(one).await;
    sqlx::raw_sql(
        "ALTER TABLE billing.invoice DISABLE TRIGGER USER;
         UPDATE billing.invoice SET issue_date = '2026-01-10', due_date = '2026-02-09';
         ALTER TABLE billing.invoice ENABLE TRIGGER USER",
    )
    .execute(&database)
    .await
    .unwrap();
    let paid = office.invoice(other).await;
    office.pay(other, 11_900, &[&paid]).await.is(201);
    office.charge(one, "VISIT").await.is(201);
    let draft = office.draft(one).await.is(201).id();
    let today = today();
    for (query, expected) in [
        (String::new(), vec![&draft, &paid, &late]),
        ("state=ISSUED".to_owned(), vec![&paid, &late]),
        (format!("patientId={one}"), vec![&draft, &late]),
        ("overdue=true".to_owned(), vec![&late]),
        ("overdue=false".to_owned(), vec![&draft, &paid, &late]),
        (format!("from={today}"), vec![&paid]),
        ("to=2026-01-10".to_owned(), vec![&late]),
        (format!("from=2026-01-10&to={today}"), vec![&paid, &late]),
        ("from=2026-01-11&to=2026-01-12".to_owned(), vec![]),
        (format!("patientId={other}&overdue=true"), vec![]),
    ] {
        let listed = office.get(&format!("/api/invoices?{query}")).await.is(200);
        let invoices = listed.body["invoices"].as_array().unwrap().iter();
        let ids: Vec<_> = invoices.map(|invoice| &invoice["id"]).collect();
        assert_eq!(json!(ids), json!(expected), "{query}");
    }

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/invoices?limit=1{cursor}");
        let page = office.get(&path).await.is(200).body;
        seen.push(page["invoices"][0]["id"].clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), json!([draft, paid, late]));

    for (query, field) in [
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("from=yesterday", "from"),
        ("state=PAID", "state"),
        ("overdue=yes", "overdue"),
        ("patientId=42", "patientId"),
    ] {
        let wrong = office.get(&format!("/api/invoices?{query}")).await.is(400);
        assert_eq!(wrong.fields(), [field]);
    }
}

/// With each patient whose invoices were on the page, and with whom was asked for, if there are none.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn who_lists_invoices_is_on_record(database: PgPool) {
    let office = Office::open(database.clone()).await;
    let mut patients = [office.patient().await, office.patient().await];
    patients.sort_unstable();
    let nobodys = office.patient().await;
    for patient in patients {
        office.invoice(patient).await;
    }
    office.get("/api/invoices").await.is(200);
    let path = format!("/api/invoices?patientId={nobodys}");
    office.get(&path).await.is(200);
    let recorded: Vec<Vec<Uuid>> = sqlx::query_scalar(
        "SELECT patient_ids FROM audit.record
         WHERE action = 'READ_INVOICES' AND outcome = 'SUCCEEDED' ORDER BY occurred_at, id",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(recorded, [patients.to_vec(), vec![nobodys]]);
}

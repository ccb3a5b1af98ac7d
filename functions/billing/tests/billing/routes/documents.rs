//! Invoices and statements as PDF.

use axum::http::HeaderMap;
use documents::reading;
use identity::Role;
use serde_json::json;
use sqlx::PgPool;

use super::office::{Answer, Office, eur, nothing, today};

/// What somebody reads, line by line.
fn lines(document: &Answer) -> Vec<String> {
    assert!(document.bytes.starts_with(b"%PDF-"), "{document:?}");
    assert!(document.bytes.trim_ascii_end().ends_with(b"%%EOF"));
    let pages = reading::pages(&document.bytes);
    let lines = pages.iter().flat_map(|page| reading::lines(page));
    // Spaces that keep a number on one line are of no interest here.
    lines
        .map(|line| line.replace(['\u{a0}', '\u{202f}'], " "))
        .collect()
}

#[track_caller]
fn says(document: &Answer, text: &str) {
    let lines = lines(document);
    assert!(
        lines.iter().any(|line| line.contains(text)),
        "{text}: {lines:#?}"
    );
}

#[track_caller]
fn does_not_say(document: &Answer, text: &str) {
    let lines = lines(document);
    assert!(
        !lines.iter().any(|line| line.contains(text)),
        "{text}: {lines:#?}"
    );
}

#[track_caller]
fn has_the_logo(document: &Answer) {
    let image = b"/Subtype/Image".as_slice();
    let images = document.bytes.windows(image.len());
    assert_eq!(images.filter(|bytes| *bytes == image).count(), 1);
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

async fn document(office: &Office, invoice: &str) -> Answer {
    let path = format!("/api/invoices/{invoice}/document");
    office.get(&path).await.is(200)
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn an_issued_invoice_is_a_pdf(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let id = office.invoice(patient).await;
    office.pay(patient, 5000, &[&id]).await.is(201);
    let invoice = office.get(&format!("/api/invoices/{id}")).await.is(200);
    let number = invoice.body["number"].as_str().unwrap();

    let document = document(&office, &id).await;
    let headers = &document.headers;
    assert_eq!(header(headers, "content-type"), Some("application/pdf"));
    assert_eq!(header(headers, "cache-control"), Some("no-store"));
    let disposition = format!("inline; filename=\"{number}.pdf\"");
    assert_eq!(header(headers, "content-disposition"), Some(&*disposition));
    assert_eq!(document.etag, invoice.etag);

    for text in ["Praxis am Hafen", "Hafenstraße 7", "Zoë", "What VISIT is"] {
        says(&document, text);
    }
    says(&document, &format!("Rechnung {number}"));
    says(&document, "IBAN DE02 1203 0000 0000 2020 51");
    // In all, paid, and due.
    for amount in ["119,00", "50,00", "69,00"] {
        says(&document, amount);
    }
    does_not_say(&document, "Rechnungsentwurf");
    has_the_logo(&document);

    let recorded = office.recorded(&id).await;
    let read = (
        "READ_INVOICES".to_owned(),
        "SUCCEEDED".to_owned(),
        vec![patient],
    );
    let reads = recorded.iter().filter(|record| **record == read);
    assert_eq!(reads.count(), 2, "{recorded:?}");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_draft_says_that_it_is_one(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.price("VISIT", 6500).await.is(201);
    office.charge(patient, "VISIT").await.is(201);
    let draft = office.draft(patient).await.is(201);

    let document = document(&office, &draft.id()).await;
    says(&document, "Rechnungsentwurf");
    says(&document, "77,35");
    let disposition = header(&document.headers, "content-disposition");
    assert_eq!(disposition, Some("inline; filename=\"draft.pdf\""));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn invoices_say_that_they_are_void_or_written_off(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let void = office.invoice(patient).await;
    office.pay(patient, 5000, &[&void]).await.is(201);
    let reason = json!({ "reason": "A mistake" });
    office
        .post(&format!("/api/invoices/{void}/void"), reason)
        .await
        .is(200);
    let document_of_void = document(&office, &void).await;
    says(&document_of_void, "storniert");

    let given_up = office.invoice(office.patient().await).await;
    let credit = json!({ "reason": "Shorter than agreed", "amount": eur(1190) });
    let path = format!("/api/invoices/{given_up}/credit-notes");
    office.post(&path, credit).await.is(201);
    let path = format!("/api/invoices/{given_up}/write-off");
    let reason = || json!({ "reason": "The patient has moved away" });
    office.post(&path, reason()).await.is(200);
    let done = office.with_colleague().post(&path, reason()).await.is(200);
    assert_eq!(done.body["state"], "WRITTEN_OFF");
    let document = document(&office, &given_up).await;
    for amount in ["119,00", "11,90", "107,10"] {
        says(&document, amount);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn documents_are_closed_to_who_may_not_see_the_invoice(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    let path = format!("/api/invoices/{invoice}/document");
    let desk = office.acting_as(Role::Receptionist);
    desk.get(&path).await.is(200);
    office.restrict(patient).await;
    let refused = desk.get(&path).await.is(403);
    assert_eq!(refused.problem(), "forbidden");
    assert_eq!(
        header(&refused.headers, "content-type"),
        Some("application/problem+json")
    );

    let unknown = format!("/api/invoices/{}/document", nothing());
    let missing = office.get(&unknown).await.is(404);
    assert_eq!(missing.body["detail"], "There is no such invoice");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_is_a_pdf(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    office.pay(patient, 5000, &[&invoice]).await.is(201);
    sqlx::query("UPDATE billing.account SET address = '1 Main St'")
        .execute(&office.database)
        .await
        .unwrap();
    let number = office.get(&format!("/api/invoices/{invoice}")).await;
    let number = number.body["number"].as_str().unwrap().to_owned();

    let path = format!("/api/patients/{patient}/statement/document");
    let document = office.get(&path).await.is(200);
    let headers = &document.headers;
    assert_eq!(header(headers, "content-type"), Some("application/pdf"));
    assert_eq!(header(headers, "cache-control"), Some("no-store"));
    let disposition = format!("inline; filename=\"statement-{}.pdf\"", today());
    assert_eq!(header(headers, "content-disposition"), Some(&*disposition));
    for text in [
        "Praxis am Hafen",
        "Zoë",
        "1 Main St",
        "Kontoauszug",
        "Saldovortrag0,00",
        &format!("Rechnung{number}119,00119,00"),
        "−50,0069,00",
        "69,00 EUR",
        "IBAN DE02 1203 0000 0000 2020 51",
    ] {
        says(&document, text);
    }
    has_the_logo(&document);
    let recorded: Vec<String> = sqlx::query_scalar(
        "SELECT outcome FROM audit.record WHERE action = 'READ_STATEMENT' AND $1 = ANY(patient_ids)",
    )
    .bind(patient)
    .fetch_all(&office.database)
    .await
    .unwrap();
    assert_eq!(recorded, ["SUCCEEDED"]);

    // Before there was anything.
    let before = format!("{path}?from=2020-01-01&to=2020-12-31");
    let before = office.get(&before).await.is(200);
    for text in ["01.01.2020 bis 31.12.2020", "Es ist nichts mehr zu zahlen."] {
        says(&before, text);
    }
    does_not_say(&before, &number);
    let other = office.get(&format!("{path}?currency=JPY")).await.is(200);
    says(&other, "Saldo am");
    does_not_say(&other, &number);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_long_statement_goes_on_with_the_balance_of_the_page_before(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    for _ in 0..80 {
        office.pay(patient, 100, &[]).await.is(201);
    }
    let path = format!("/api/patients/{patient}/statement/document");
    let document = office.get(&path).await.is(200);
    let carried = lines(&document);
    let carried: Vec<_> = carried
        .iter()
        .filter(|line| line.starts_with("Übertrag"))
        .collect();
    assert!(
        carried.len() >= 4 && carried[0] == carried[1],
        "{carried:?}"
    );
    says(&document, "−80,00");
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn statements_are_closed_to_who_may_not_see_the_patient(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let path = format!("/api/patients/{patient}/statement/document");
    let desk = office.acting_as(Role::Receptionist);
    desk.get(&path).await.is(200);
    office.restrict(patient).await;
    assert_eq!(desk.get(&path).await.is(403).problem(), "forbidden");

    let unknown = format!("/api/patients/{}/statement/document", nothing());
    let missing = office.get(&unknown).await.is(404);
    assert_eq!(missing.body["detail"], "The patient has no billing account");
    let backwards = format!("{path}?from=2026-02-01&to=2026-01-01");
    assert_eq!(office.get(&backwards).await.is(400).fields(), ["to"]);
}

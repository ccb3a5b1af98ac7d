//! Invoices as PDF.

use axum::http::HeaderMap;
use documents::reading;
use identity::Role;
use serde_json::json;
use sqlx::PgPool;

use super::office::{Answer, Office, eur, nothing};

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

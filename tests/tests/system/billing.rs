//! From a price to a refund, over the deployed system.

use chrono::Utc;
use documents::reading;
use identity::Role;
use serde_json::{Value, json};
use system_tests::{Clinic, Visitor, eventually};
use uuid::Uuid;

fn eur(cents: i64) -> Value {
    json!({ "currency": "EUR", "minorUnits": cents })
}

async fn done(visitor: &Visitor, path: &str, body: Value, status: u16) -> Value {
    let answer = visitor.post(path).json(&body).answers(status).await;
    answer.json()
}

/// The gateway answers with the file itself, byte for byte.
async fn assert_can_be_downloaded(desk: &Visitor, path: &str, number: &str) {
    let download = async || {
        let call = desk.get(path).header("Accept", "application/pdf");
        call.answers(200).await
    };
    let file = download().await;
    assert_eq!(file.header("content-type"), Some("application/pdf"));
    assert_eq!(file.header("cache-control"), Some("no-store"));
    let disposition = format!("inline; filename=\"{number}.pdf\"");
    assert_eq!(file.header("content-disposition"), Some(&*disposition));
    assert!(file.body.starts_with(b"%PDF-"), "{file:?}");
    assert!(file.body.trim_ascii_end().ends_with(b"%%EOF"));
    if let Some(length) = file.header("content-length") {
        assert_eq!(length, file.body.len().to_string());
    }
    // Its texts are compressed: of a byte that is another, nothing could be read.
    let pages = reading::pages(&file.body);
    let lines: Vec<_> = pages.iter().flat_map(|page| reading::lines(page)).collect();
    for text in [number, "119.00"] {
        let said = lines.iter().any(|line| line.contains(text));
        assert!(said, "{text}: {lines:#?}");
    }
    assert_eq!(download().await.body, file.body, "the same invoice");
    // As browsers, curl and libraries ask.
    for accepted in [
        "*/*",
        "application/json, text/plain, */*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json",
    ] {
        let answer = desk.get(path).header("Accept", accepted).answers(200).await;
        assert_eq!(answer.header("content-type"), Some("application/pdf"));
        assert_eq!(answer.body, file.body, "{accepted}");
    }
}

#[tokio::test]
async fn a_visit_is_priced_charged_invoiced_paid_and_partly_paid_back() {
    let clinic = Clinic::open();
    let admin = clinic.administrator().await;
    let desk = clinic.log_in(Role::Receptionist).await;
    let patient = admin.register_somebody().await.id;
    let account = format!("/api/patients/{patient}/billing-account");
    eventually("the billing account", async || {
        let answer = desk.get(&account).answer().await;
        (answer.status == 200).then_some(())
    })
    .await;

    // A charge waits for its price.
    let code = Uuid::now_v7().simple().to_string();
    let today = Utc::now().date_naive();
    let charges = format!("/api/patients/{patient}/charges");
    let charge = json!({ "code": code, "quantity": 2, "serviceDate": today });
    let charge = done(&desk, &charges, charge, 201).await;
    assert_eq!(charge["state"], "UNPRICED");
    let price = json!({
        "code": code, "description": "Consultation", "amount": eur(5000), "taxRatePpm": 190_000,
        "validFrom": today,
    });
    done(&admin, "/api/prices", price, 201).await;
    let listed = desk.get(&charges).answers(200).await.json();
    assert_eq!(listed["charges"][0]["state"], "BILLABLE");

    // It is invoiced, once.
    let drafts = format!("/api/patients/{patient}/invoices");
    let draft = done(&desk, &drafts, json!({ "chargeIds": [charge["id"]] }), 201).await;
    assert_eq!(draft["total"], eur(11_900));
    let invoice = format!("/api/invoices/{}", draft["id"].as_str().unwrap());
    let issue = || {
        desk.post(&format!("{invoice}/issue"))
            .header("Idempotency-Key", "issue")
    };
    let issued = issue().answers(200).await;
    let again = issue().answers(200).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), issued.json());
    assert_eq!(issued.json()["state"], "ISSUED");
    assert_eq!(issued.json()["due"], eur(11_900));

    // It is sent as PDF.
    let number = issued.json()["number"].as_str().unwrap().to_owned();
    assert_can_be_downloaded(&desk, &format!("{invoice}/document"), &number).await;

    // It is paid with more than was due.
    let payments = format!("/api/patients/{patient}/payments");
    let payment = json!({
        "amount": eur(15_000), "method": "TRANSFER", "reference": format!("SEPA-{code}"),
        "invoiceIds": [draft["id"]],
    });
    let paid = done(&desk, &payments, payment.clone(), 201).await;
    assert_eq!(
        (&paid["allocated"], &paid["credit"]),
        (&eur(11_900), &eur(3100))
    );
    done(&desk, &payments, payment, 409).await;
    let statement = format!("/api/patients/{patient}/statement?from={today}&to={today}");
    let closing = desk.get(&statement).answers(200).await.json();
    assert_eq!(closing["closing"], eur(-3100));

    // The rest is paid back.
    let refunds = format!("/api/payments/{}/refunds", paid["id"].as_str().unwrap());
    let refund = done(&desk, &refunds, json!({ "reason": "Paid too much" }), 201).await;
    assert_eq!(refund["amount"], eur(3100));
    let refund = format!("/api/refunds/{}", refund["id"].as_str().unwrap());
    desk.post(&format!("{refund}/approval")).answers(403).await;
    admin.post(&format!("{refund}/approval")).answers(200).await;
    let reference = json!({ "reference": format!("BACK-{code}") });
    let completed = done(&desk, &format!("{refund}/completion"), reference, 200).await;
    assert_eq!(completed["state"], "COMPLETED");
    let closing = desk.get(&statement).answers(200).await.json();
    assert_eq!(closing["closing"], eur(0));
    let kinds = closing["lines"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["INVOICE", "PAYMENT", "REFUND"]);

    // All of it is on record.
    let trail = format!("/api/audit?patientId={patient}&action=ISSUE_INVOICE");
    let trail = admin.get(&trail).answers(200).await.json();
    assert_eq!(
        trail["records"].as_array().unwrap().len(),
        2,
        "and once more for the repetition"
    );
    assert_eq!(trail["records"][0]["actorRole"], "RECEPTIONIST");
    assert_eq!(trail["records"][0]["resourceType"], "INVOICE");
}

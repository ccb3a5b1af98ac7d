//! Statements, aging, revenue, takings and the export.

use serde_json::{Value, json};
use sqlx::PgPool;

use super::office::{Office, eur, today};

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_adds_up(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    office.pay(patient, 15_000, &[&invoice]).await.is(201);
    let path = format!("/api/patients/{patient}/statement");
    let statement = office.get(&path).await.is(200).body;
    assert_eq!(statement["opening"], eur(0));
    assert_eq!(statement["closing"], eur(-3100));
    assert_eq!(statement["to"], json!(today()));
    let lines = statement["lines"].as_array().unwrap();
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["INVOICE", "PAYMENT"]);
    assert_eq!(lines[0]["amount"], eur(11_900));
    assert_eq!(lines[0]["balance"], eur(11_900));
    assert_eq!(lines[0]["invoiceId"], json!(invoice));
    assert_eq!(lines[1]["amount"], eur(-15_000));
    assert_eq!(lines[1]["balance"], eur(-3100));

    let before = format!("{path}?from=2020-01-01&to=2020-12-31");
    let before = office.get(&before).await.is(200).body;
    assert_eq!(
        (&before["lines"], &before["closing"]),
        (&json!([]), &eur(0))
    );
    office.get(&format!("{path}?from=2020-13-01")).await.is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_statement_of_many_lines_is_one_answer(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    for _ in 0..620 {
        office.pay(patient, 1, &[]).await.is(201);
    }
    let path = format!("/api/patients/{patient}/statement");
    let statement = office.get(&path).await.is(200).body;
    assert_eq!(statement["lines"].as_array().unwrap().len(), 620);
    assert_eq!(statement["closing"], eur(-620));
    assert_eq!(statement["nextCursor"], json!(null));
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn aging_is_the_sum_of_what_is_due(database: PgPool) {
    let office = Office::open(database).await;
    let [one, other] = [office.patient().await, office.patient().await];
    let invoice = office.invoice(one).await;
    office.invoice(other).await;
    office.pay(one, 900, &[&invoice]).await.is(201);
    let page = office.get("/api/billing/aging?limit=1").await.is(200).body;
    assert_eq!(page["patients"].as_array().unwrap().len(), 1);
    assert_eq!(page["patients"][0]["patientId"], json!(one));
    assert_eq!(page["patients"][0]["notDue"], eur(11_000));
    assert_eq!(page["total"]["total"], eur(22_900));
    assert_eq!(page["asOf"], json!(today()));
    let cursor = page["nextCursor"].as_str().unwrap();
    let path = format!("/api/billing/aging?limit=1&cursor={cursor}");
    let page = office.get(&path).await.is(200).body;
    assert_eq!(page["patients"][0]["patientId"], json!(other));
    assert_eq!(page["nextCursor"], json!(null));
    let past = office
        .get("/api/billing/aging?asOf=2020-01-01")
        .await
        .is(200)
        .body;
    assert_eq!(past["total"]["total"], eur(0));
    office
        .get("/api/billing/aging?asOf=2999-01-01")
        .await
        .is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn revenue_is_what_was_issued_less_what_was_taken_back(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let [_, credited, voided] = [
        office.invoice(patient).await,
        office.invoice(patient).await,
        office.invoice(patient).await,
    ];
    let reason = json!({ "reason": "A mistake" });
    office
        .post(&format!("/api/invoices/{voided}/void"), reason)
        .await
        .is(200);
    let note = json!({ "reason": "Shorter", "amount": eur(1190) });
    office
        .post(&format!("/api/invoices/{credited}/credit-notes"), note)
        .await
        .is(201);
    let path = format!("/api/billing/revenue?from={}&to={}", today(), today());
    let revenue = office.get(&path).await.is(200).body;
    assert_eq!(revenue["total"]["issued"], eur(30_000));
    assert_eq!(revenue["total"]["voided"], eur(10_000));
    assert_eq!(revenue["total"]["credited"], eur(1000));
    assert_eq!(revenue["total"]["revenue"], eur(19_000));
    assert_eq!(revenue["codes"][0]["code"], "VISIT");
    office.get("/api/billing/revenue").await.is(400);
    office
        .get("/api/billing/revenue?from=2026-01-02&to=2026-01-01")
        .await
        .is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn takings_are_what_is_in_the_cash_box(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    office.pay(patient, 1000, &[]).await.is(201);
    let bounced = office.pay(patient, 300, &[]).await.is(201).id();
    let reason = json!({ "reason": "It bounced" });
    office
        .post(&format!("/api/payments/{bounced}/reversal"), reason)
        .await
        .is(200);
    let takings = office.get("/api/billing/takings").await.is(200).body;
    assert_eq!(takings["date"], json!(today()));
    assert_eq!(takings["total"]["net"], eur(1000));
    let methods = takings["methods"].as_array().unwrap();
    let cash = methods
        .iter()
        .find(|method| method["method"] == "CASH")
        .unwrap();
    assert_eq!(cash["payments"], eur(1300));
    assert_eq!(cash["reversed"], eur(300));
    assert_eq!(cash["paymentCount"], 2);
}

/// What amounts come to together is not bounded as one of them is.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn sums_of_the_largest_amounts_can_be_read(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let most = money::MAX_MINOR_UNITS;
    let price = json!({
        "code": "MOST", "description": "The most", "amount": eur(most), "taxRatePpm": 0,
        "validFrom": "2020-01-01",
    });
    office.post("/api/prices", price).await.is(201);
    let mut invoices = Vec::new();
    for _ in 0..2 {
        office.charge(patient, "MOST").await.is(201);
        let draft = office.draft(patient).await.is(201).id();
        let issue = format!("/api/invoices/{draft}/issue");
        office.post_empty(&issue).await.is(200);
        invoices.push(draft);
    }
    let today = today();
    let statement = format!("/api/patients/{patient}/statement");
    let closing = office.get(&statement).await.is(200).body["closing"].clone();
    assert_eq!(closing, eur(2 * most));
    let aging = office.get("/api/billing/aging").await.is(200).body;
    assert_eq!(aging["total"]["total"], eur(2 * most));
    assert_eq!(aging["patients"][0]["notDue"], eur(2 * most));
    let revenue = format!("/api/billing/revenue?from={today}&to={today}");
    let revenue = office.get(&revenue).await.is(200).body;
    assert_eq!(revenue["total"]["revenue"], eur(2 * most));

    for _ in 0..3 {
        office.pay(patient, most, &[]).await.is(201);
    }
    let takings = office.get("/api/billing/takings").await.is(200).body;
    assert_eq!(takings["total"]["net"], eur(3 * most));
    let closing = office.get(&statement).await.is(200).body["closing"].clone();
    assert_eq!(closing, eur(-most));
    let export = format!("/api/billing/export?from={today}&to={today}");
    office.get(&export).await.is(200);

    // One of them is bounded.
    let more = office.pay(patient, most + 1, &[]).await.is(400);
    assert_eq!(more.fields(), ["amount"]);
    office.charge(patient, "MOST").await.is(201);
    office.charge(patient, "MOST").await.is(201);
    office.draft(patient).await.is(409);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_export_balances(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    let invoice = office.invoice(patient).await;
    office.pay(patient, 15_000, &[&invoice]).await.is(201);
    let path = format!("/api/billing/export?from={}&to={}", today(), today());
    let export = office.get(&path).await.is(200).body;
    assert_eq!(export["nextCursor"], json!(null));
    let postings = export["postings"].as_array().unwrap();
    let cents = |posting: &Value| posting["amount"]["minorUnits"].as_i64().unwrap();
    assert_eq!(postings.iter().map(cents).sum::<i64>(), 0);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM billing.posting")
        .fetch_one(&office.database)
        .await
        .unwrap();
    assert_eq!(postings.len(), usize::try_from(stored).unwrap());
    let receivable = postings
        .iter()
        .filter(|posting| posting["account"] == "RECEIVABLE");
    assert_eq!(receivable.map(cents).sum::<i64>(), 0);
    let recorded: Vec<Vec<uuid::Uuid>> =
        sqlx::query_scalar("SELECT patient_ids FROM audit.record WHERE action = 'EXPORT_LEDGER'")
            .fetch_all(&office.database)
            .await
            .unwrap();
    assert_eq!(recorded, [vec![patient]]);
    office.get("/api/billing/export").await.is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_export_goes_on_after_an_entry(database: PgPool) {
    let office = Office::open(database).await;
    let patient = office.patient().await;
    for cents in [100, 200, 300] {
        office.pay(patient, cents, &[]).await.is(201);
    }
    let path = format!("/api/billing/export?from={}&to={}", today(), today());
    let whole = office.get(&path).await.is(200).body;
    let postings = whole["postings"].as_array().unwrap();
    let first: api::Id = postings[0]["entryId"].as_str().unwrap().parse().unwrap();
    let cursor = api::Cursor(first).encode();
    let rest = office
        .get(&format!("{path}&cursor={cursor}"))
        .await
        .is(200)
        .body;
    assert_eq!(rest["postings"].as_array().unwrap(), &postings[2..]);
    assert_eq!(rest["resumeCursor"], whole["resumeCursor"]);

    let cursor = whole["resumeCursor"].as_str().unwrap();
    let since = format!("{path}&cursor={cursor}");
    let nothing = office.get(&since).await.is(200).body;
    assert_eq!(nothing["postings"], json!([]));
    assert_eq!(nothing["nextCursor"], json!(null));
    assert_eq!(nothing["resumeCursor"], whole["resumeCursor"]);
    office.pay(patient, 400, &[]).await.is(201);
    let since = office.get(&since).await.is(200).body;
    assert_eq!(since["postings"].as_array().unwrap().len(), 2);
    let unknown = api::Cursor(api::Id(patient)).encode();
    let refused = office
        .get(&format!("{path}&cursor={unknown}"))
        .await
        .is(400);
    assert_eq!(refused.fields(), ["cursor"]);
}

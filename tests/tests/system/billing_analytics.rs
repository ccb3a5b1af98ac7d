//! The figures of billing are those of its books.

use std::{env, time::Duration};

use chrono::{NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use system_tests::{Clinic, Visitor, eventually, within};
use uuid::Uuid;

/// In the order of [`FIGURES`], from the ledger.
const BOOKS: &str = "
    SELECT ARRAY[
        coalesce(-sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'INVOICE_ISSUED' AND business_date = $1), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'INVOICE_VOIDED' AND business_date = $1), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind = 'REVENUE' AND entry.kind = 'CREDIT_NOTE_ISSUED' AND business_date = $1), 0),
        coalesce(-sum(amount) FILTER (WHERE account.kind = 'TAX' AND business_date = $1), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind = 'BAD_DEBT' AND business_date = $1), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind IN ('CASH', 'CARD', 'TRANSFER') AND business_date = $1), 0),
        coalesce(sum(amount) FILTER (WHERE account.kind = 'RECEIVABLE' AND business_date <= $1), 0)
    ]::bigint[]
    FROM billing.entry
    JOIN billing.posting ON posting.entry_id = entry.id
    JOIN billing.ledger_account AS account ON account.id = posting.ledger_account_id
    WHERE account.currency = 'EUR'";

/// The same, as the analytics name them.
const FIGURES: [&str; 7] = [
    "/revenue/issued",
    "/revenue/voided",
    "/revenue/credited",
    "/revenue/tax",
    "/revenue/writtenOff",
    "/takings/total/net",
    "/aging/total",
];

async fn issue_an_invoice(admin: &Visitor) {
    let patient = admin.register_somebody().await.id;
    let account = format!("/api/patients/{patient}/billing-account");
    eventually("the billing account", async || {
        let answer = admin.get(&account).answer().await;
        (answer.status == 200).then_some(())
    })
    .await;
    let code = Uuid::now_v7().simple().to_string();
    let today = Utc::now().date_naive();
    let price = json!({
        "code": code, "description": "Consultation", "taxRatePpm": 190_000, "validFrom": today,
        "amount": { "currency": "EUR", "minorUnits": 5000 },
    });
    admin.post("/api/prices").json(&price).answers(201).await;
    let charge = json!({ "code": code, "quantity": 1, "serviceDate": today });
    let charges = format!("/api/patients/{patient}/charges");
    admin.post(&charges).json(&charge).answers(201).await;
    let drafts = format!("/api/patients/{patient}/invoices");
    let draft = admin.post(&drafts).json(&json!({})).answers(201).await;
    let draft = draft.json()["id"].as_str().unwrap().to_owned();
    let issue = format!("/api/invoices/{draft}/issue");
    admin.post(&issue).answers(200).await;
}

async fn books(database: &PgPool, day: NaiveDate) -> Vec<i64> {
    sqlx::query_scalar(BOOKS)
        .bind(day)
        .fetch_one(database)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_recount_of_the_books_equals_the_figures() {
    let clinic = Clinic::open();
    let admin = clinic.administrator().await;
    let database = PgPool::connect(&env::var("DATABASE_URL").unwrap())
        .await
        .unwrap();
    let today = Utc::now().date_naive();
    issue_an_invoice(&admin).await;
    // Others are at it as well: what is compared is a moment in which nobody books, and the relay sends
    // what is new every minute.
    let patience = Duration::from_mins(4);
    within(patience, "the figures of the books", async || {
        let before = books(&database, today).await;
        let path = format!("/api/analytics/billing?from={today}&to={today}");
        let body = admin.get(&path).answers(200).await.json();
        let totals = body["totals"].as_array().unwrap().iter();
        let mut euros = totals.filter(|figures| figures["currency"] == "EUR");
        let figures = euros.next()?;
        let units = |name: &&str| {
            let amount: Option<&Value> = figures.pointer(&format!("{name}/minorUnits"));
            amount.and_then(Value::as_i64).unwrap()
        };
        let counted: Vec<i64> = FIGURES.iter().map(units).collect();
        let after = books(&database, today).await;
        (before == after && counted == after && counted[0] > 0).then_some(())
    })
    .await;
}

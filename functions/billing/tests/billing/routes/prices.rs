//! Setting prices, and what things cost when.

use serde_json::json;
use sqlx::PgPool;

use super::office::{Office, eur};

fn price(cents: i64, from: &str) -> serde_json::Value {
    json!({
        "code": "CONSULT-30", "description": "  Consultation,  30 minutes ", "amount": eur(cents),
        "taxRatePpm": 190_000, "validFrom": from,
    })
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_price_holds_from_its_day_until_the_next(database: PgPool) {
    let office = Office::open(database).await;
    let old = office
        .post("/api/prices", price(6500, "2026-01-01"))
        .await
        .is(201);
    assert_eq!(old.body["description"], "Consultation, 30 minutes");
    assert_eq!(old.body["amount"], eur(6500));
    assert_eq!(old.body["taxRatePpm"], 190_000);
    let new = office
        .post("/api/prices", price(7000, "2026-07-01"))
        .await
        .is(201);

    for (day, holds) in [("2026-06-30", &old), ("2026-07-01", &new)] {
        let path = format!("/api/prices?code=CONSULT-30&on={day}");
        let listed = office.get(&path).await.is(200);
        assert_eq!(listed.body["prices"], json!([holds.body]), "{day}");
        assert_eq!(listed.body["nextCursor"], json!(null));
    }
    let before = office.get("/api/prices?on=2025-12-31").await.is(200);
    assert_eq!(before.body["prices"], json!([]));
    let recorded = office.recorded(&old.id()).await;
    assert_eq!(
        recorded,
        [("SET_PRICE".to_owned(), "SUCCEEDED".to_owned(), vec![])]
    );
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn prices_are_listed_page_by_page(database: PgPool) {
    let office = Office::open(database).await;
    for code in ["A", "B", "C"] {
        office.price(code, 100).await.is(201);
    }
    let mut codes = Vec::new();
    let mut path = "/api/prices?limit=2".to_owned();
    loop {
        let page = office.get(&path).await.is(200);
        let prices = page.body["prices"].as_array().unwrap().clone();
        assert!(prices.len() <= 2);
        codes.extend(
            prices
                .iter()
                .map(|price| price["code"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page.body["nextCursor"].as_str() else {
            break;
        };
        path = format!("/api/prices?limit=2&cursor={cursor}");
    }
    assert_eq!(codes, ["A", "B", "C"]);
    office.get("/api/prices?cursor=made-up").await.is(400);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_invalid_field_of_a_price_is_named(database: PgPool) {
    let office = Office::open(database).await;
    let wrong = json!({
        "code": "a b", "description": " ", "amount": eur(-1), "taxRatePpm": 1_000_001,
        "validFrom": "2026-01-01",
    });
    let answer = office.post("/api/prices", wrong).await.is(400);
    assert_eq!(
        answer.fields(),
        ["amount", "code", "description", "taxRatePpm"]
    );
    for (field, value) in [
        ("validFrom", json!("2026-02-29")),
        ("amount", json!({ "currency": "EURO", "minorUnits": 1 })),
        ("amount", json!({ "currency": "EUR", "minorUnits": 1.5 })),
        (
            "amount",
            json!({ "currency": "EUR", "minorUnits": 1_000_000_000_000_000_i64 }),
        ),
    ] {
        let mut wrong = price(1, "2026-01-01");
        wrong[field] = value;
        let answer = office.post("/api/prices", wrong).await.is(400);
        assert!(answer.fields()[0].starts_with(field), "{}", answer.text);
    }
    office.get("/api/prices?on=tomorrow").await.is(400);
    office.get("/api/prices?code=a%20b").await.is(400);
}

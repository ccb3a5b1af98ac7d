//! Setting and listing prices.

use contracts::billing::v1::{ChargeState, GetChargeRequest, ListPricesRequest, SetPriceRequest};
use sqlx::PgPool;
use tonic::Code;

use crate::desk::{Desk, assert_refused, charge, eur, fields, new_id, units};

fn price(code: &str, amount: i64, valid_from: &str) -> SetPriceRequest {
    SetPriceRequest {
        request_id: new_id(),
        code: code.to_owned(),
        description: "A consultation".to_owned(),
        amount: Some(eur(amount)),
        tax_rate_ppm: 190_000,
        valid_from: valid_from.to_owned(),
    }
}

async fn on(desk: &Desk, code: &str, date: &str) -> Vec<i64> {
    let listed = desk.list_prices(ListPricesRequest {
        code: code.to_owned(),
        on_date: date.to_owned(),
        ..ListPricesRequest::default()
    });
    let prices = listed.await.unwrap().prices;
    prices.iter().map(|price| units(&price.amount)).collect()
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_newest_price_of_the_latest_date_holds(database: PgPool) {
    let desk = Desk::open(&database).await;
    for (amount, from) in [
        (100, "2026-01-01"),
        (120, "2026-03-01"),
        (125, "2026-03-01"),
    ] {
        desk.set_price(price("CONSULT", amount, from))
            .await
            .unwrap();
    }
    desk.set_price(price("OTHER", 7, "2026-01-01"))
        .await
        .unwrap();
    assert_eq!(on(&desk, "CONSULT", "2025-12-31").await, [0; 0]);
    assert_eq!(on(&desk, "CONSULT", "2026-02-28").await, [100]);
    assert_eq!(on(&desk, "CONSULT", "2026-03-01").await, [125]);
    assert_eq!(on(&desk, "", "2026-05-01").await, [125, 7]);
    assert_eq!(on(&desk, "CONSULT", "").await, [125, 120, 100]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_price_is_on_one_page(database: PgPool) {
    let desk = Desk::open(&database).await;
    for number in 0..7 {
        let code = format!("P{}", number % 3);
        desk.set_price(price(&code, number, "2026-01-01"))
            .await
            .unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = desk.list_prices(ListPricesRequest {
            page_size: 2,
            page_token: token,
            ..ListPricesRequest::default()
        });
        let page = page.await.unwrap();
        assert!(page.prices.len() <= 2);
        seen.extend(page.prices.iter().map(|price| units(&price.amount)));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [6, 3, 0, 4, 1, 5, 2]);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_charge_that_waits_gets_the_price_of_its_day(database: PgPool) {
    let desk = Desk::open(&database).await;
    let patient = desk.patient().await;
    let waiting = desk.charge(patient, "NEW", 3).await;
    assert_eq!(waiting.state(), ChargeState::Unpriced);
    assert_eq!((waiting.amount, waiting.unit_price), (None, None));

    let too_late = desk
        .set_price(price("NEW", 900, "2026-01-16"))
        .await
        .unwrap();
    assert_eq!(too_late.priced_charges, 0);
    let set = desk
        .set_price(price("NEW", 250, "2026-01-01"))
        .await
        .unwrap();
    assert_eq!(set.priced_charges, 1);
    let id = waiting.charge_id;
    let priced = desk
        .get_charge(GetChargeRequest {
            charge_id: id.clone(),
        })
        .await
        .unwrap();
    let priced = priced.charge.unwrap();
    assert_eq!(priced.state(), ChargeState::Billable);
    assert_eq!(units(&priced.amount), 750);

    // A price that is set afterwards changes it no more.
    desk.set_price(price("NEW", 1, "2026-01-02")).await.unwrap();
    let again = desk
        .get_charge(GetChargeRequest { charge_id: id })
        .await
        .unwrap();
    assert_eq!(again.charge.unwrap(), priced);
}

/// Whoever records a charge while its price is being set finds it, or is found.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn no_charge_is_left_without_a_price_that_is_there(database: PgPool) {
    let desk = Desk::open(&database).await;
    for round in 0..10 {
        let code = format!("R{round}");
        let patient = desk.patient().await;
        let charges = (0..4).map(|_| desk.record_charge(charge(patient, &code, 1)));
        let (set, recorded) = tokio::join!(
            desk.set_price(price(&code, 100, "2026-01-01")),
            futures::future::join_all(charges)
        );
        set.unwrap();
        for charge in recorded {
            charge.unwrap();
        }
    }
    let unpriced: i64 =
        sqlx::query_scalar("SELECT count(*) FROM billing.charge WHERE state = 'UNPRICED'")
            .fetch_one(&database)
            .await
            .unwrap();
    assert_eq!(unpriced, 0);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn every_invalid_field_is_named_at_once(database: PgPool) {
    let desk = Desk::open(&database).await;
    let wrong = SetPriceRequest {
        request_id: new_id(),
        code: "A B".to_owned(),
        description: " ".to_owned(),
        amount: Some(eur(-1)),
        tax_rate_ppm: 1_000_001,
        valid_from: "2026-02-30".to_owned(),
    };
    let status = desk.set_price(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let expected = ["code", "description", "amount", "taxRatePpm", "validFrom"];
    assert_eq!(fields(&status), expected);

    let nobody = crate::running::with_token(price("A", 1, "2026-01-01"));
    let running = crate::running::Running::start(&database).await;
    let mut client =
        contracts::billing::v1::price_service_client::PriceServiceClient::new(running.channel());
    assert_refused(
        client.set_price(nobody).await,
        Code::InvalidArgument,
        "ACTOR_MISSING",
    );
}

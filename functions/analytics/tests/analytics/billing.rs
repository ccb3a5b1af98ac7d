//! What happens in billing is counted once, on the day on which it was booked, and what is open is known
//! for the end of each day.

use std::collections::BTreeMap;

use analytics::{
    count_billing_events::{self, CountError},
    counters::AnalyticsTable,
    query_billing_analytics,
};
use api::ClinicTimeZone;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Extension, body::Body};
use chrono::{NaiveDate, TimeDelta};
use events::{Amount, Batch, BillingChange, BillingEvent, Effect, Method};
use futures::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{Role, testing::as_caller};
use serde_json::{Value, json};
use store::{Table, testing};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::delivery::{deliver, lose_some, only};

const METHODS: [(Method, &str); 3] = [
    (Method::Cash, "cash"),
    (Method::Card, "card"),
    (Method::Transfer, "transfer"),
];

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn event(date: &str, change: BillingChange) -> BillingEvent {
    BillingEvent {
        id: Uuid::now_v7(),
        // Booked on a day that is over elsewhere.
        occurred_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        patient_id: Uuid::now_v7(),
        business_date: day(date),
        change,
    }
}

fn eur(minor_units: i64) -> Amount {
    amount("EUR", minor_units)
}

fn amount(currency: &str, minor_units: i64) -> Amount {
    Amount {
        currency: currency.to_owned(),
        minor_units,
    }
}

fn issued(total: Amount, tax: i64) -> BillingChange {
    BillingChange::InvoiceIssued {
        invoice: Uuid::now_v7(),
        due: total.clone(),
        due_date: NaiveDate::default(),
        tax: Amount {
            minor_units: tax,
            ..total.clone()
        },
        total,
    }
}

fn due(change: Amount, due_date: &str) -> BillingChange {
    BillingChange::InvoiceDueChanged {
        invoice: Uuid::now_v7(),
        due: change.clone(),
        change,
        due_date: day(due_date),
    }
}

fn paid(amount: Amount, method: Method) -> BillingChange {
    BillingChange::PaymentRecorded {
        payment: Uuid::now_v7(),
        amount,
        method,
    }
}

pub(crate) async fn count(table: &Table, event: &BillingEvent) -> Result<Effect, CountError> {
    let batch = Batch::of(0, std::slice::from_ref(event));
    only(count_billing_events::count(table, batch).await)
}

/// One of many payments.
pub(crate) fn payment(_: usize) -> BillingEvent {
    event("2026-03-09", paid(eur(100), Method::Card))
}

async fn count_all(table: &Table, events: &[BillingEvent]) {
    for event in events {
        assert_eq!(count(table, event).await.unwrap(), Effect::Applied);
    }
}

pub(crate) async fn answer(table: &Table, request: Request<Body>) -> (StatusCode, Value) {
    let table = testing::table_of(table.name());
    let routes = query_billing_analytics::routes(AnalyticsTable(table));
    let response = api::around(
        "query-billing-analytics",
        api::AllowedOrigins::default(),
        routes,
    )
    .layer(Extension(ClinicTimeZone::UTC))
    .oneshot(request)
    .await
    .unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(table: &Table, query: &str, role: Role) -> (StatusCode, Value) {
    let request = Request::get(format!("/api/analytics/billing{query}"))
        .body(Body::empty())
        .unwrap();
    answer(table, as_caller(request, role)).await
}

async fn figures(table: &Table, query: &str) -> Value {
    let (status, body) = get(table, query, Role::Auditor).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

/// The figures of a currency in a group.
fn of<'a>(body: &'a Value, key: &str, currency: &str) -> &'a Value {
    let groups = body["groups"].as_array().unwrap();
    let group = groups.iter().find(|group| group["key"] == key);
    let group = group.unwrap_or_else(|| panic!("no {key} in {body}"));
    let currencies = group["currencies"].as_array().unwrap();
    let figures = currencies.iter().find(|of| of["currency"] == currency);
    figures.unwrap_or_else(|| panic!("no {currency} in {group}"))
}

fn units(figures: &Value, names: [&str; 2]) -> i64 {
    figures[names[0]][names[1]]["minorUnits"].as_i64().unwrap()
}

#[tokio::test]
async fn the_response_has_every_figure() {
    let table = testing::table().await;
    let (invoice, payment) = (Uuid::now_v7(), Uuid::now_v7());
    let first = "2026-03-09";
    count_all(
        &table,
        &[
            event(first, issued(eur(11_900), 1900)),
            event(first, due(eur(11_900), "2026-03-10")),
            event(first, paid(eur(5000), Method::Card)),
            event(first, due(eur(-5000), "2026-03-10")),
            event(
                first,
                BillingChange::CreditNoteIssued {
                    credit_note: Uuid::now_v7(),
                    invoice,
                    total: eur(119),
                    tax: eur(19),
                },
            ),
            event(
                first,
                BillingChange::InvoiceVoided {
                    invoice,
                    total: eur(238),
                    tax: eur(38),
                },
            ),
            event(
                first,
                BillingChange::InvoiceWrittenOff {
                    invoice,
                    amount: eur(7),
                },
            ),
            event(
                first,
                BillingChange::PaymentReversed {
                    payment,
                    amount: eur(100),
                    method: Method::Cash,
                },
            ),
            event(
                first,
                BillingChange::RefundCompleted {
                    refund: payment,
                    payment,
                    amount: eur(30),
                    method: Method::Transfer,
                },
            ),
        ],
    )
    .await;
    let body = figures(&table, "?from=2026-03-09&to=2026-03-11").await;
    let money = |units: i64| json!({ "currency": "EUR", "minorUnits": units });
    let way = |payments: i64, reversed: i64, refunds: i64, count: i64| {
        json!({
            "payments": money(payments), "reversed": money(reversed), "refunds": money(refunds),
            "net": money(payments - reversed - refunds), "paymentCount": count,
        })
    };
    let aging = |not_due: i64, to_30: i64| {
        json!({
            "notDue": money(not_due), "days1To30": money(to_30), "days31To60": money(0),
            "days61To90": money(0), "over90Days": money(0), "total": money(not_due + to_30),
        })
    };
    let done = json!({
        "issued": money(10_000), "voided": money(200), "credited": money(100),
        "revenue": money(9700), "tax": money(1843), "writtenOff": money(7),
    });
    let nothing = json!({
        "issued": money(0), "voided": money(0), "credited": money(0),
        "revenue": money(0), "tax": money(0), "writtenOff": money(0),
    });
    let taken = json!({
        "cash": way(0, 100, 0, 0), "card": way(5000, 0, 0, 1), "transfer": way(0, 0, 30, 0),
        "total": way(5000, 100, 30, 1),
    });
    let none = json!({
        "cash": way(0, 0, 0, 0), "card": way(0, 0, 0, 0), "transfer": way(0, 0, 0, 0),
        "total": way(0, 0, 0, 0),
    });
    let of_day = |revenue: &Value, takings: &Value, aging: Value| json!([{ "currency": "EUR", "revenue": revenue, "takings": takings, "aging": aging }]);
    assert_eq!(
        body,
        json!({
            "from": "2026-03-09", "to": "2026-03-11", "groupBy": "day",
            "groups": [
                { "key": "2026-03-09", "currencies": of_day(&done, &taken, aging(6900, 0)) },
                { "key": "2026-03-10", "currencies": of_day(&nothing, &none, aging(6900, 0)) },
                { "key": "2026-03-11", "currencies": of_day(&nothing, &none, aging(0, 6900)) },
            ],
            "totals": of_day(&done, &taken, aging(0, 6900)),
        })
    );
}

#[tokio::test]
async fn each_event_counts_once_and_in_any_order() {
    let table = testing::table().await;
    let issued = event("2026-03-09", issued(eur(100), 0));
    let BillingChange::InvoiceIssued { invoice, .. } = issued.change else {
        panic!("{issued:?}");
    };
    let voided = event(
        "2026-03-10",
        BillingChange::InvoiceVoided {
            invoice,
            total: eur(100),
            tax: eur(0),
        },
    );
    // What comes late counts as well.
    count_all(&table, &[voided.clone(), issued.clone()]).await;
    let again = [&issued, &voided].into_iter().cycle().take(20);
    for effect in join_all(again.map(|event| count(&table, event))).await {
        assert_eq!(effect.unwrap(), Effect::AlreadyApplied);
    }
    let new = event("2026-03-10", paid(eur(7), Method::Cash));
    let effects = join_all((0..20).map(|_| count(&table, &new))).await;
    let applied = effects
        .into_iter()
        .filter(|effect| matches!(effect, Ok(Effect::Applied)));
    assert_eq!(applied.count(), 1);
    let body = figures(&table, "?from=2026-03-01&to=2026-03-31&groupBy=month").await;
    let month = of(&body, "2026-03", "EUR");
    let said = ["issued", "voided", "revenue"].map(|name| units(month, ["revenue", name]));
    assert_eq!(said, [100, 100, 0]);
    assert_eq!(month["takings"]["total"]["net"]["minorUnits"], 7);
}

#[tokio::test]
async fn an_event_that_could_not_be_counted_is_not_marked() {
    let table = testing::table().await;
    let paid = event("2026-03-10", paid(eur(7), Method::Cash));
    let put = async |value: AttributeValue| {
        let put = table.client().await.put_item().table_name(table.name());
        let key = |text: &str| AttributeValue::S(text.to_owned());
        put.item("pk", key("BILLING-DAYS#2026-03#SHARDS"))
            .item("sk", key("2026-03-10#EUR#0"))
            .item("cashPayments", value)
            .send()
            .await
            .unwrap();
    };
    put(AttributeValue::S("seven".to_owned())).await;
    let error = count(&table, &paid).await.unwrap_err();
    assert!(matches!(error, CountError::Table(_)), "{error:?}");
    put(AttributeValue::N("7".to_owned())).await;
    assert_eq!(count(&table, &paid).await.unwrap(), Effect::Applied);
    let body = figures(&table, "?from=2026-03-10&to=2026-03-10").await;
    let said = &of(&body, "2026-03-10", "EUR")["takings"]["cash"]["payments"]["minorUnits"];
    assert_eq!(said, 14);
}

/// Events of two years, in two currencies.
fn history(random: &mut fastrand::Rng) -> Vec<BillingEvent> {
    let some = |random: &mut fastrand::Rng, at_least| {
        let currency = ["EUR", "KWD"][random.usize(..2)];
        amount(currency, random.i64(at_least..1_000_000))
    };
    (0..400)
        .map(|_| {
            let date = day("2025-01-01") + TimeDelta::days(random.i64(0..730));
            let total = some(random, 1);
            let tax = amount(&total.currency, random.i64(0..=total.minor_units));
            let method = METHODS[random.usize(..3)].0;
            let (invoice, payment) = (Uuid::now_v7(), Uuid::now_v7());
            let change = match random.usize(..12) {
                0 => issued(total, tax.minor_units),
                1 => BillingChange::InvoiceVoided {
                    invoice,
                    total,
                    tax,
                },
                2 => BillingChange::CreditNoteIssued {
                    credit_note: payment,
                    invoice,
                    total,
                    tax,
                },
                3 => BillingChange::InvoiceWrittenOff {
                    invoice,
                    amount: total,
                },
                4 => paid(total, method),
                5 => BillingChange::PaymentReversed {
                    payment,
                    amount: total,
                    method,
                },
                6 => BillingChange::RefundCompleted {
                    refund: invoice,
                    payment,
                    amount: total,
                    method,
                },
                _ => {
                    let due_date = date + TimeDelta::days(random.i64(-200..60));
                    due(some(random, -1_000_000), &due_date.to_string())
                }
            };
            event(&date.to_string(), change)
        })
        .collect()
}

/// What the events come to in a currency, from one day to another: by the names in the response.
fn recount(
    events: &[BillingEvent],
    currency: &str,
    from: NaiveDate,
    to: NaiveDate,
) -> BTreeMap<String, i64> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |name: &str, amount: &Amount, sign: i64| {
        if amount.currency == currency {
            *sums.entry(name.to_owned()).or_default() += amount.minor_units * sign;
        }
    };
    let way = |method: &Method| METHODS.iter().find(|way| way.0 == *method).unwrap().1;
    for event in events.iter().filter(|event| event.business_date <= to) {
        if let BillingChange::InvoiceDueChanged {
            change, due_date, ..
        } = &event.change
        {
            let bucket = match (to - *due_date).num_days() {
                ..=0 => "aging.notDue",
                1..=30 => "aging.days1To30",
                31..=60 => "aging.days31To60",
                61..=90 => "aging.days61To90",
                91.. => "aging.over90Days",
            };
            add(bucket, change, 1);
            add("aging.total", change, 1);
        }
        if event.business_date < from {
            continue;
        }
        match &event.change {
            BillingChange::InvoiceIssued { total, tax, .. } => {
                add("revenue.issued", total, 1);
                add("revenue.issued", tax, -1);
                add("revenue.tax", tax, 1);
            }
            BillingChange::InvoiceVoided { total, tax, .. } => {
                add("revenue.voided", total, 1);
                add("revenue.voided", tax, -1);
                add("revenue.tax", tax, -1);
            }
            BillingChange::CreditNoteIssued { total, tax, .. } => {
                add("revenue.credited", total, 1);
                add("revenue.credited", tax, -1);
                add("revenue.tax", tax, -1);
            }
            BillingChange::InvoiceWrittenOff { amount, .. } => {
                add("revenue.writtenOff", amount, 1);
            }
            BillingChange::PaymentRecorded { amount, method, .. } => {
                add(&format!("takings.{}.payments", way(method)), amount, 1);
            }
            BillingChange::PaymentReversed { amount, method, .. } => {
                add(&format!("takings.{}.reversed", way(method)), amount, 1);
            }
            BillingChange::RefundCompleted { amount, method, .. } => {
                add(&format!("takings.{}.refunds", way(method)), amount, 1);
            }
            BillingChange::InvoiceDueChanged { .. } => {}
        }
    }
    sums
}

/// That these figures are what a recount comes to, and nothing else.
fn assert_recounted(figures: &Value, recounted: &BTreeMap<String, i64>, what: &str) {
    let amount = |name: &str| recounted.get(name).copied().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for name in ["issued", "voided", "credited", "tax", "writtenOff"] {
        names.push(format!("revenue.{name}"));
    }
    for (_, way) in METHODS {
        for name in ["payments", "reversed", "refunds"] {
            names.push(format!("takings.{way}.{name}"));
        }
    }
    for name in [
        "notDue",
        "days1To30",
        "days31To60",
        "days61To90",
        "over90Days",
        "total",
    ] {
        names.push(format!("aging.{name}"));
    }
    for name in &names {
        let pointer = format!("/{}/minorUnits", name.replace('.', "/"));
        let said = figures.pointer(&pointer).and_then(Value::as_i64);
        assert_eq!(said, Some(amount(name)), "{name}, {what}");
    }
    assert!(recounted.keys().all(|name| names.contains(name)));
    let revenue = amount("revenue.issued") - amount("revenue.voided") - amount("revenue.credited");
    assert_eq!(units(figures, ["revenue", "revenue"]), revenue, "{what}");
}

#[tokio::test]
async fn a_recount_says_what_the_table_says() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let events = history(&mut random);
    let (table, wire) = testing::wired_table().await;
    lose_some(&wire, seed);
    // In any order, and some of it twice.
    let mut deliveries = events.clone();
    deliveries.extend_from_within(..deliveries.len() / 2);
    random.shuffle(&mut deliveries);
    let partitions: Vec<_> = deliveries.chunks(100).map(<[_]>::to_vec).collect();
    deliver(&partitions, &mut random, async |batch| {
        let handled = count_billing_events::count(&table, batch).await;
        assert!(!handled.effects.contains(&Effect::OutOfDate));
        handled
    })
    .await;

    let (from, to) = (day("2025-11-17"), day("2026-10-20"));
    let by_day = figures(&table, &format!("?from={from}&to={to}")).await;
    let by_month = figures(&table, &format!("?from={from}&to={to}&groupBy=month")).await;
    for currency in ["EUR", "KWD"] {
        for date in from.iter_days().take_while(|date| *date <= to) {
            let what = format!("{currency} on {date}, seed {seed}");
            let said = of(&by_day, &date.to_string(), currency);
            assert_recounted(said, &recount(&events, currency, date, date), &what);
        }
        for (key, first, last) in [
            ("2025-11", from, day("2025-11-30")),
            ("2026-02", day("2026-02-01"), day("2026-02-28")),
            ("2026-10", day("2026-10-01"), to),
        ] {
            let what = format!("{currency} in {key}, seed {seed}");
            let said = of(&by_month, key, currency);
            assert_recounted(said, &recount(&events, currency, first, last), &what);
        }
        for body in [&by_day, &by_month] {
            let totals = body["totals"].as_array().unwrap();
            let totals = totals.iter().find(|of| of["currency"] == currency).unwrap();
            let what = format!("{currency} in all, seed {seed}");
            assert_recounted(totals, &recount(&events, currency, from, to), &what);
        }
    }
    assert_eq!(by_month["groups"].as_array().map(Vec::len), Some(12));
}

#[tokio::test]
async fn nothing_in_the_table_says_whose_it_was() {
    let table = testing::table().await;
    let events = history(&mut fastrand::Rng::with_seed(7));
    count_all(&table, &events[..60]).await;
    let scan = table.client().await.scan().table_name(table.name());
    let stored = format!("{:?}", scan.send().await.unwrap().items());
    assert!(stored.contains("BILLING-DAYS#"));
    for event in &events[..60] {
        assert!(!stored.contains(&event.patient_id.to_string()));
    }
}

#[tokio::test]
async fn the_default_is_thirty_days_and_there_may_be_nothing() {
    let table = testing::table().await;
    let body = figures(&table, "").await;
    assert_eq!(body["groups"].as_array().map(Vec::len), Some(30));
    assert_eq!(body["totals"], json!([]));
    assert_eq!(body["groups"][29]["currencies"], json!([]));
}

#[tokio::test]
async fn an_invalid_parameter_is_named() {
    let table = testing::table().await;
    for (query, field) in [
        ("?from=yesterday", "from"),
        ("?from=2026-05-02&to=2026-05-01", "from"),
        ("?from=2025-01-01&to=2026-05-01", "from"),
        ("?groupBy=currency", "groupBy"),
        ("?patientId=7", "patientId"),
    ] {
        let (status, body) = get(&table, query, Role::Auditor).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        let errors = body["errors"].as_object().unwrap();
        assert_eq!(errors.keys().collect::<Vec<_>>(), [field], "{query}");
    }
}

#[tokio::test]
async fn only_those_who_see_the_books_see_their_figures() {
    let table = testing::table().await;
    for (role, expected) in [
        (Role::Admin, StatusCode::OK),
        (Role::Auditor, StatusCode::OK),
        (Role::Clinician, StatusCode::FORBIDDEN),
        (Role::Receptionist, StatusCode::FORBIDDEN),
    ] {
        let (status, body) = get(&table, "", role).await;
        assert_eq!(status, expected, "{role}: {body}");
    }
}

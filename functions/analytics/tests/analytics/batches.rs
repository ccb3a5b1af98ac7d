//! Events that are counted together: in few transactions, and as if they had been counted one by one.

use std::collections::BTreeMap;

use analytics::{
    count_billing_events,
    count_patient_events::{self, CountError},
};
use api::ClinicTimeZone;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{Days, NaiveDate};
use events::{Batch, Change, Effect, Handled, PatientEvent};
use serde_json::json;
use store::{Table, TransactionError, testing};
use uuid::Uuid;

use crate::{
    billing,
    delivery::{deliver, lose_some},
    fixtures::{born_on, event, get, totals},
};

const NOON: &str = "2024-05-01T12:00:00Z";
const MAY: &str = "?from=2024-05-01&to=2024-05-31";

async fn count(table: &Table, partition: i64, events: &[PatientEvent]) -> Handled<CountError> {
    let batch = Batch::of(partition, events);
    count_patient_events::count(table, ClinicTimeZone::UTC, batch).await
}

fn registration() -> PatientEvent {
    event(NOON, Change::Created(born_on("1940-01-01")))
}

/// A later event of the same patient.
fn next(event: &PatientEvent, change: Change) -> PatientEvent {
    PatientEvent {
        id: Uuid::now_v7(),
        patient_version: event.patient_version + 1,
        change,
        ..event.clone()
    }
}

fn changed(event: &PatientEvent) -> PatientEvent {
    next(event, Change::Updated(born_on("1940-01-01")))
}

#[tokio::test]
async fn a_hundred_patients_cost_two_transactions_and_a_write_each() {
    let (table, wire) = testing::wired_table().await;
    let events: Vec<_> = (0..100).map(|_| registration()).collect();
    let handled = count(&table, 0, &events).await;
    assert_eq!(handled.effects, [Effect::Applied; 100]);
    // A mark for each patient, and the counts of the day, in each of the two.
    assert_eq!((wire.transactions(), wire.items()), (2, 102));

    let handled = count(&table, 0, &events[..99]).await;
    assert_eq!(handled.effects, [Effect::AlreadyApplied; 99]);
    assert_eq!(wire.transactions(), 3, "delivered again");
    assert_eq!(totals(table, MAY).await["created"], 100);
}

#[tokio::test]
async fn a_hundred_events_of_a_few_patients_cost_one_transaction() {
    let (table, wire) = testing::wired_table().await;
    let mut latest: Vec<_> = (0..10).map(|_| registration()).collect();
    let mut events = latest.clone();
    for _ in 0..9 {
        latest = latest.iter().map(changed).collect();
        events.extend_from_slice(&latest);
    }
    let handled = count(&table, 0, &events).await;
    assert_eq!(handled.effects, [Effect::Applied; 100]);
    assert_eq!((wire.transactions(), wire.items()), (1, 11));
    let totals = totals(table, MAY).await;
    assert_eq!([&totals["created"], &totals["updated"]], [10, 90]);
}

#[tokio::test]
async fn every_event_of_billing_has_a_mark_of_its_own() {
    let (table, wire) = testing::wired_table().await;
    let events: Vec<_> = (0..100).map(billing::payment).collect();
    let handled = count_billing_events::count(&table, Batch::of(0, &events)).await;
    assert_eq!(handled.effects, [Effect::Applied; 100]);
    assert_eq!((wire.transactions(), wire.items()), (2, 102));
}

#[tokio::test]
async fn what_comes_twice_or_too_late_is_left_out() {
    let table = testing::table().await;
    let [other, first] = [registration(), registration()];
    let second = changed(&first);
    let third = next(&second, Change::Deleted);
    let impostor = PatientEvent {
        id: Uuid::now_v7(),
        ..third.clone()
    };
    let batch = [first.clone(), second.clone(), first.clone(), second.clone()];
    let handled = count(&table, 0, &batch).await;
    let (applied, again, late) = (Effect::Applied, Effect::AlreadyApplied, Effect::OutOfDate);
    assert_eq!(handled.effects, [applied, applied, late, again]);
    let batch = [first, second, third.clone(), impostor, other, third];
    let handled = count(&table, 0, &batch).await;
    assert_eq!(
        handled.effects,
        [late, again, applied, late, applied, again]
    );
    let totals = totals(table, MAY).await;
    assert_eq!(
        [&totals["created"], &totals["updated"], &totals["deleted"]],
        [2, 1, 1]
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_counted_stops_none_of_those_before_it() {
    let table = testing::table().await;
    let set = async |deleted: AttributeValue| {
        let update = table.client().await.update_item().table_name(table.name());
        let key = |text: &str| AttributeValue::S(text.to_owned());
        update
            .key("pk", key("DAYS#2024-05#SHARDS"))
            .key("sk", key("2024-05-01#3"))
            .update_expression("SET deleted = :deleted")
            .expression_attribute_values(":deleted", deleted)
            .send()
            .await
            .unwrap();
    };
    set(AttributeValue::S("seven".to_owned())).await;
    let mut events: Vec<_> = (0..60).map(|_| registration()).collect();
    events[37] = event(NOON, Change::Deleted);
    let handled = count(&table, 3, &events).await;
    assert_eq!(handled.effects, [Effect::Applied; 37]);
    let failure = handled.failure.unwrap();
    let is_invalid = matches!(failure, CountError::Table(TransactionError::Invalid(_)));
    assert!(is_invalid, "{failure:?}");
    // Another partition has other counters.
    let neighbour = count(&table, 4, &[event(NOON, Change::Deleted)]).await;
    assert_eq!(neighbour.effects, [Effect::Applied]);

    set(AttributeValue::N("7".to_owned())).await;
    let handled = count(&table, 3, &events[37..]).await;
    assert_eq!(handled.effects, [Effect::Applied; 23]);
    let totals = totals(table, MAY).await;
    assert_eq!([&totals["created"], &totals["deleted"]], [59, 9]);
}

#[tokio::test]
async fn what_was_counted_before_there_were_shards_is_added() {
    let table = testing::table().await;
    let put = table.client().await.put_item().table_name(table.name());
    put.item("pk", AttributeValue::S("DAYS#2024-05".to_owned()))
        .item("sk", AttributeValue::S("2024-05-01".to_owned()))
        .item("created", AttributeValue::N("40".to_owned()))
        .item("createdAge75", AttributeValue::N("40".to_owned()))
        .send()
        .await
        .unwrap();
    for partition in 0..12 {
        let handled = count(&table, partition, &[registration()]).await;
        assert_eq!(handled.effects, [Effect::Applied]);
    }
    let (_, body) = get(table, "?from=2024-05-01&to=2024-05-01").await;
    assert_eq!(body["days"].as_array().unwrap().len(), 1);
    assert_eq!(body["totals"]["created"], 52);
    assert_eq!(body["totals"]["ageBands"]["75+"], 52);
}

/// The events of some patients on a partition, of which some are there twice.
fn partition(random: &mut fastrand::Rng) -> Vec<PatientEvent> {
    let first: NaiveDate = "2024-05-01".parse().unwrap();
    let mut latest: Vec<PatientEvent> = Vec::new();
    let mut events: Vec<PatientEvent> = Vec::new();
    for _ in 0..random.usize(100..500) {
        match random.u8(..10) {
            0 if !events.is_empty() => {
                let again = events[random.usize(..events.len())].clone();
                events.push(again);
            }
            1..=3 => {
                latest.push(registration());
                events.push(registration_on(first, latest.last().unwrap(), random));
            }
            _ if latest.is_empty() => {}
            _ => {
                let place = random.usize(..latest.len());
                let change = match random.u8(..4) {
                    0 => Change::Deleted,
                    1 => Change::Restored(born_on("1940-01-01")),
                    _ => Change::Updated(born_on("1940-01-01")),
                };
                latest[place] = next(&latest[place], change);
                events.push(registration_on(first, &latest[place], random));
            }
        }
    }
    events
}

/// The same event on one of a few days.
fn registration_on(
    first: NaiveDate,
    event: &PatientEvent,
    random: &mut fastrand::Rng,
) -> PatientEvent {
    let day = first + Days::new(random.u64(..4));
    PatientEvent {
        occurred_at: day.and_hms_opt(12, 0, 0).unwrap().and_utc(),
        ..event.clone()
    }
}

#[tokio::test]
async fn whatever_is_delivered_how_often_a_recount_says_what_the_table_says() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let partitions: Vec<_> = (0..6).map(|_| partition(&mut random)).collect();
    let (table, wire) = testing::wired_table().await;
    lose_some(&wire, seed);
    deliver(&partitions, &mut random, async |batch| {
        count_patient_events::count(&table, ClinicTimeZone::UTC, batch).await
    })
    .await;

    let mut recount: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let events = partitions.iter().flatten();
    let once: BTreeMap<Uuid, &PatientEvent> = events.map(|event| (event.id, event)).collect();
    for event in once.values() {
        let day = event.occurred_at.date_naive().to_string();
        *recount.entry((day, event.change.kind())).or_default() += 1;
    }
    let table = testing::table_of(table.name());
    let (_, body) = get(table, MAY).await;
    let mut said = BTreeMap::new();
    for day in body["days"].as_array().unwrap() {
        for kind in ["created", "updated", "deleted", "restored"] {
            let number = day[kind].as_u64().unwrap();
            if number > 0 {
                let date = day["date"].as_str().unwrap().to_owned();
                said.insert((date, kind), number);
            }
        }
    }
    assert_eq!(said, recount, "seed {seed}");
    assert_eq!(
        body["totals"]["ageBands"]["75+"],
        json!(body["totals"]["created"]),
        "seed {seed}"
    );
}

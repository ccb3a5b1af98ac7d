//! Every event is counted once, on its day.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use analytics::count_patient_events::CountError;
use api::ClinicTimeZone;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::{Router, extract::State, response::IntoResponse, routing::post};
use events::{Change, Effect, PatientEvent, seen};
use futures::future::join_all;
use http::StatusCode;
use serde_json::json;
use store::{Table, TransactionError, testing};
use uuid::Uuid;

use crate::fixtures::{born_on, count, count_all, event, in_zone, totals};

const MAY: &str = "?from=2024-05-01&to=2024-05-31";

#[tokio::test]
async fn each_kind_of_event_has_its_counter() {
    let table = testing::table().await;
    let time = "2024-05-01T12:00:00Z";
    count_all(
        &table,
        &[
            event(time, Change::Created(born_on("2010-01-01"))),
            event(time, Change::Created(born_on("2000-01-01"))),
            event(time, Change::Created(born_on("1990-01-01"))),
            event(time, Change::Created(born_on("1970-01-01"))),
            event(time, Change::Created(born_on("1960-01-01"))),
            event(time, Change::Created(born_on("1940-01-01"))),
            event(time, Change::CreatedWithoutWelcome(born_on("1930-01-01"))),
            event(time, Change::Updated(born_on("1940-01-01"))),
            event(time, Change::Updated(born_on("1940-01-01"))),
            event(time, Change::Deleted),
        ],
    )
    .await;
    let bands = json!({ "0-17": 1, "18-29": 1, "30-44": 1, "45-59": 1, "60-74": 1, "75+": 2 });
    assert_eq!(
        totals(table, MAY).await,
        json!({ "created": 7, "updated": 2, "deleted": 1, "restored": 0, "erased": 0, "merged": 0, "unmerged": 0, "ageBands": bands })
    );
}

#[tokio::test]
async fn a_duplicate_changes_nothing() {
    let table = testing::table().await;
    let registered = event(
        "2024-05-01T12:00:00Z",
        Change::Created(born_on("1940-01-01")),
    );
    assert_eq!(count(&table, &registered).await.unwrap(), Effect::Applied);
    for _ in 0..3 {
        let again = count(&table, &registered).await.unwrap();
        assert_eq!(again, Effect::AlreadyApplied);
    }
    let totals = totals(table, MAY).await;
    assert_eq!(
        (&totals["created"], &totals["ageBands"]["75+"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test]
async fn twenty_concurrent_deliveries_count_once() {
    let table = testing::table().await;
    let registered = event(
        "2024-05-01T12:00:00Z",
        Change::Created(born_on("1940-01-01")),
    );
    let effects = join_all((0..20).map(|_| count(&table, &registered))).await;
    let effects: Vec<Effect> = effects.into_iter().map(Result::unwrap).collect();
    let applied = effects.iter().filter(|effect| **effect == Effect::Applied);
    assert_eq!(applied.count(), 1, "{effects:?}");
    assert_eq!(totals(table, MAY).await["created"], 1);
}

#[tokio::test]
async fn different_concurrent_events_are_all_counted() {
    let table = testing::table().await;
    let events: Vec<PatientEvent> = (0..60)
        .map(|number| {
            let change = match number % 3 {
                0 => Change::Created(born_on("1940-01-01")),
                1 => Change::Updated(born_on("1940-01-01")),
                _ => Change::Deleted,
            };
            event("2024-05-01T12:00:00Z", change)
        })
        .collect();
    let effects = join_all(events.iter().map(|event| count(&table, event))).await;
    assert!(
        effects
            .into_iter()
            .all(|effect| effect.unwrap() == Effect::Applied)
    );

    let totals = totals(table, MAY).await;
    for counter in ["created", "updated", "deleted"] {
        assert_eq!(totals[counter], 20, "{counter}");
    }
    assert_eq!(totals["ageBands"]["75+"], 20);
}

#[tokio::test]
async fn a_day_ends_at_midnight_at_the_clinic() {
    for (zone, on_the_first) in [("UTC", 3), ("Europe/Berlin", 1), ("America/New_York", 4)] {
        let clinic = ClinicTimeZone::parse(zone).unwrap();
        let table = testing::table().await;
        for time in [
            "2024-05-01T21:59:59.999999Z",
            "2024-05-01T23:59:59.999999Z",
            "2024-05-02T01:30:00+02:00",
            "2024-05-02T00:00:00Z",
            "2024-05-02T12:00:00Z",
        ] {
            let effect = in_zone(&table, clinic, &event(time, Change::Deleted)).await;
            assert_eq!(effect.unwrap(), Effect::Applied);
        }
        let first = totals(table, "?from=2024-05-01&to=2024-05-01").await;
        assert_eq!(first["deleted"], on_the_first, "{zone}");
    }
}

#[tokio::test]
async fn an_event_that_could_not_be_counted_is_not_marked() {
    let table = testing::table().await;
    let removed = event("2024-05-01T12:00:00Z", Change::Deleted);
    write_day(&table, AttributeValue::S("seven".to_owned())).await;
    assert!(count(&table, &removed).await.is_err());

    write_day(&table, AttributeValue::N("7".to_owned())).await;
    assert_eq!(count(&table, &removed).await.unwrap(), Effect::Applied);
    assert_eq!(totals(table, MAY).await["deleted"], 8);
}

async fn write_day(table: &Table, deleted: AttributeValue) {
    let put = table.client().await.put_item().table_name(table.name());
    put.item("pk", AttributeValue::S("DAYS#2024-05#SHARDS".to_owned()))
        .item("sk", AttributeValue::S("2024-05-01#0".to_owned()))
        .item("deleted", deleted)
        .send()
        .await
        .unwrap();
}

const NOON: &str = "2024-05-01T12:00:00Z";

/// A patient's first versions: registered, changed, deleted.
fn history() -> [PatientEvent; 3] {
    let patient_id = Uuid::now_v7();
    let version = |patient_version, change| PatientEvent {
        patient_id,
        patient_version,
        ..event(NOON, change)
    };
    [
        version(1, Change::Created(born_on("1940-01-01"))),
        version(2, Change::Updated(born_on("1940-01-01"))),
        version(3, Change::Deleted),
    ]
}

#[tokio::test]
async fn an_event_after_a_later_version_changes_nothing() {
    let table = testing::table().await;
    let [registered, changed, deleted] = history();
    assert_eq!(count(&table, &changed).await.unwrap(), Effect::Applied);
    assert_eq!(count(&table, &registered).await.unwrap(), Effect::OutOfDate);
    assert_eq!(count(&table, &deleted).await.unwrap(), Effect::Applied);
    assert_eq!(count(&table, &changed).await.unwrap(), Effect::OutOfDate);
    let again = count(&table, &deleted).await.unwrap();
    assert_eq!(again, Effect::AlreadyApplied);

    let totals = totals(table, MAY).await;
    assert_eq!(
        (&totals["created"], &totals["updated"], &totals["deleted"]),
        (&json!(0), &json!(1), &json!(1))
    );
}

#[tokio::test]
async fn another_event_of_the_same_version_changes_nothing() {
    let table = testing::table().await;
    let [registered, ..] = history();
    count_all(&table, std::slice::from_ref(&registered)).await;
    let impostor = PatientEvent {
        id: Uuid::now_v7(),
        ..registered
    };
    assert_eq!(count(&table, &impostor).await.unwrap(), Effect::OutOfDate);
    assert_eq!(totals(table, MAY).await["created"], 1);
}

#[tokio::test]
async fn a_history_replayed_concurrently_counts_once() {
    let table = testing::table().await;
    let histories: Vec<_> = (0..5).map(|_| history()).collect();
    let replay = async || {
        for history in &histories {
            for event in history {
                count(&table, event).await.unwrap();
            }
        }
    };
    join_all((0..8).map(|_| replay())).await;
    let totals = totals(table, MAY).await;
    for counter in ["created", "updated", "deleted"] {
        assert_eq!(totals[counter], 5, "{counter}");
    }
}

#[tokio::test]
async fn only_the_mark_of_a_deleted_patient_expires() {
    let table = testing::table().await;
    let before = chrono::Utc::now().timestamp();
    for event in history() {
        count_all(&table, std::slice::from_ref(&event)).await;
        let get = table.client().await.get_item().table_name(table.name());
        let mark = get
            .key("pk", AttributeValue::S(seen::partition(event.patient_id)))
            .key("sk", AttributeValue::S(seen::SORT.to_owned()))
            .send()
            .await
            .unwrap();
        let mark = mark.item().unwrap();
        let text = |name: &str| mark[name].as_s().unwrap().clone();
        assert_eq!(text("eventId"), event.id.to_string());
        let version = event.patient_version.to_string();
        assert_eq!(mark["patientVersion"], AttributeValue::N(version));
        let expires_at = mark
            .get("expiresAt")
            .map(|moment| moment.as_n().unwrap().parse::<i64>().unwrap());
        if event.change == Change::Deleted {
            assert!(expires_at.unwrap() - before >= 30 * 24 * 60 * 60);
        } else {
            assert_eq!(expires_at, None);
        }
    }
}

#[tokio::test]
async fn a_collision_and_a_table_that_is_too_busy_are_tried_again() {
    for reason in ["TransactionConflict", "ThrottlingError"] {
        let (table, _) = colliding_table(3, reason).await;
        let removed = event("2024-05-01T12:00:00Z", Change::Deleted);
        assert_eq!(count(&table, &removed).await.unwrap(), Effect::Applied);
    }
}

#[tokio::test]
async fn endless_collisions_fail_the_event() {
    let (table, attempts) = colliding_table(usize::MAX, "TransactionConflict").await;
    let removed = event("2024-05-01T12:00:00Z", Change::Deleted);
    let error = count(&table, &removed).await.unwrap_err();
    assert!(
        matches!(error, CountError::Table(TransactionError::Conflict)),
        "{error:?}"
    );
    assert!(attempts.load(Ordering::SeqCst) > 3);
}

/// A table whose first transactions are cancelled for a reason that only DynamoDB itself gives.
async fn colliding_table(collisions: usize, reason: &'static str) -> (Table, Arc<AtomicUsize>) {
    async fn transact(
        State((collisions, reason, attempts)): State<(usize, &'static str, Arc<AtomicUsize>)>,
    ) -> impl IntoResponse {
        if attempts.fetch_add(1, Ordering::SeqCst) >= collisions {
            return (StatusCode::OK, json!({}).to_string());
        }
        let cancelled = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
            "CancellationReasons": [{ "Code": "None" }, { "Code": reason }],
        });
        (StatusCode::BAD_REQUEST, cancelled.to_string())
    }
    let attempts = Arc::new(AtomicUsize::new(0));
    let routes =
        Router::new()
            .route("/", post(transact))
            .with_state((collisions, reason, attempts.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = testing::client(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (Table::with_client("analytics".to_owned(), client), attempts)
}

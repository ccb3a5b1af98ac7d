//! How the relay works through a backlog: every patient's messages in order, and no patient waits
//! for another.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use billing_client::BillingClient;
use contracts::{PATIENT_EVENTS_TOPIC, patient::v1::PatientEvent};
use identity::{Role, testing::as_caller};
use kafka::Cluster;
use patients::{
    outbox::{Delivery, Receivers},
    relay_outbox::{Relayed, relay_outbox},
};
use prost::Message as _;
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use sqlx::{AssertSqlSafe, PgPool};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::fixtures::{Call, delivery, routes_with, with, zoe};

/// How long the broker may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any run here takes.
const RUN: Duration = Duration::from_secs(20);

/// A Kafka that accepts events, and a billing service that is down.
pub(crate) fn delivery_to_kafka() -> Delivery {
    let billing = BillingClient::new("http://127.0.0.1:1", "a-token-that-nobody-asks-for").unwrap();
    Delivery::new(Receivers::new(billing, cluster()))
}

pub(crate) fn cluster() -> Cluster {
    Cluster::from_env().expect("the settings of a stack")
}

pub(crate) fn brokers() -> String {
    std::env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS is not set")
}

pub(crate) async fn relay(database: &PgPool, delivery: &Delivery) -> Relayed {
    relay_outbox(database, delivery, Instant::now() + RUN)
        .await
        .unwrap()
}

pub(crate) async fn execute(database: &PgPool, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned()))
        .execute(database)
        .await
        .unwrap();
}

/// Whether the condition holds for all rows of the outbox, of which there are this many.
async fn all(database: &PgPool, rows: i64, condition: &str) -> bool {
    let sql = format!("SELECT count(*), bool_and({condition}) FROM patients.outbox");
    let (count, all): (i64, Option<bool>) = sqlx::query_as(AssertSqlSafe(sql))
        .fetch_one(database)
        .await
        .unwrap();
    assert_eq!(count, rows);
    all.unwrap_or(true)
}

/// Registers this many patients, whose messages are not delivered.
pub(crate) async fn register(database: &PgPool, many: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..many {
        let email = format!("{}@clinic.example", Uuid::now_v7());
        let patient = with(zoe(), "email", email);
        let id = Call::as_admin(database).created(&patient).await;
        ids.push(id.parse().unwrap());
    }
    ids
}

const REFUSED: &str = "UPDATE patients.outbox SET payload = '\\xff' WHERE kind = 'BILLING_ACCOUNT'";
pub(crate) const NO_ACCOUNTS: &str = "DELETE FROM patients.outbox WHERE kind <> 'PATIENT_EVENT'";
const AGAIN: &str = "UPDATE patients.outbox SET not_before = now()";

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn the_relay_retries_a_rejected_message_after_increasing_delays(database: PgPool) {
    register(&database, 5).await;
    execute(&database, REFUSED).await;
    execute(
        &database,
        "DELETE FROM patients.outbox WHERE kind <> 'BILLING_ACCOUNT'",
    )
    .await;
    let waits = |at_least: &str, at_most: &str| {
        format!("not_before BETWEEN now() + interval '{at_least}' AND now() + interval '{at_most}'")
    };

    let relayed = relay(&database, &delivery()).await;
    assert_eq!(
        (relayed.delivered, relayed.backlog, relayed.stuck),
        (0, 5, 0)
    );
    // All five were attempted, not just three.
    assert!(all(&database, 5, "attempts = 1").await);
    assert!(all(&database, 5, &waits("20 seconds", "61 seconds")).await);
    relay(&database, &delivery()).await;
    assert!(all(&database, 5, "attempts = 1").await);

    for _ in 0..4 {
        execute(&database, AGAIN).await;
        relay(&database, &delivery()).await;
    }
    assert!(all(&database, 5, "attempts = 5").await);
    assert!(all(&database, 5, &waits("7 minutes", "961 seconds")).await);
    assert_eq!(relay(&database, &delivery()).await.stuck, 5);

    execute(
        &database,
        "UPDATE patients.outbox SET attempts = 2000000000, not_before = now()",
    )
    .await;
    relay(&database, &delivery()).await;
    assert!(all(&database, 5, &waits("14 minutes", "1801 seconds")).await);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_receiver_that_is_down_rejects_no_message(database: PgPool) {
    register(&database, 5).await;
    let relayed = relay(&database, &delivery()).await;
    assert_eq!((relayed.delivered, relayed.backlog), (0, 10));
    assert!(!relayed.unfinished, "another run would not help");
    assert!(all(&database, 10, "attempts = 0 AND not_before <= now()").await);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_relay_run_out_of_time_reports_that_there_is_more(database: PgPool) {
    let relayed = relay_outbox(&database, &delivery(), Instant::now()).await;
    assert!(!relayed.unwrap().unfinished);
    register(&database, 1).await;
    let relayed = relay_outbox(&database, &delivery(), Instant::now()).await;
    assert!(relayed.unwrap().unfinished);
    execute(
        &database,
        "UPDATE patients.outbox SET not_before = now() + interval '1 hour'",
    )
    .await;
    let relayed = relay_outbox(&database, &delivery(), Instant::now()).await;
    assert!(!relayed.unwrap().unfinished);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn no_patient_waits_for_another_patients_message(database: PgPool) {
    // Rejected for good, and at the front of the queue.
    register(&database, 5).await;
    execute(&database, REFUSED).await;
    let behind = register(&database, 3).await;
    let sql = format!("{NO_ACCOUNTS} AND patient_id = '{}'", behind[2]);
    execute(&database, &sql).await;

    // Two of the three wait for billing, which is down. The third does not.
    let relayed = relay(&database, &delivery_to_kafka()).await;
    assert_eq!((relayed.delivered, relayed.backlog), (1, 14));
    let sql = "(kind = 'BILLING_ACCOUNT' AND payload = '\\xff') = (attempts = 1)";
    assert!(all(&database, 14, sql).await);
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_dependency_that_is_down_does_not_hold_up_the_other(database: PgPool) {
    register(&database, 5).await;
    let behind = register(&database, 4).await;
    let sql = format!(
        "{NO_ACCOUNTS} AND patient_id = ANY('{{{}}}')",
        join(&behind)
    );
    execute(&database, &sql).await;
    let relayed = relay(&database, &delivery_to_kafka()).await;
    assert_eq!((relayed.delivered, relayed.backlog), (4, 10));
    assert!(all(&database, 10, "attempts = 0").await);
}

fn join(ids: &[Uuid]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn events_are_sent_in_version_order_whoever_delivers_them(database: PgPool) {
    const UPDATES: usize = 20;
    let id = register(&database, 1).await[0];
    execute(&database, NO_ACCOUNTS).await;
    let topic = Topic::listen().await;
    let delivery = delivery_to_kafka();
    let routes = routes_with(&database, &delivery);

    // Nothing that an invoice says is changed: there is no account.
    let email: String = sqlx::query_scalar("SELECT email FROM patients.patient")
        .fetch_one(&database)
        .await
        .unwrap();
    let updates = (0..UPDATES).map(|number| {
        let born = format!("2000-02-{:02}", number + 1);
        let patient = with(with(zoe(), "email", &*email), "dateOfBirth", born);
        let routes = routes.clone();
        tokio::spawn(async move {
            let request = Request::put(format!("/api/patients/{id}"))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(patient.to_string()));
            let request = as_caller(request.unwrap(), Role::Admin);
            routes.oneshot(request).await.unwrap().status()
        })
    });
    let updates: Vec<_> = updates.collect();
    let relays = [(); 2].map(|()| {
        let (database, delivery) = (database.clone(), delivery.clone());
        tokio::spawn(async move {
            while something_is_left(&database).await {
                relay(&database, &delivery).await;
            }
        })
    });
    for update in updates {
        assert_eq!(update.await.unwrap(), StatusCode::OK);
    }
    for relay in relays {
        relay.await.unwrap();
    }
    relay(&database, &delivery).await;

    // A call whose response came too late is repeated at once; otherwise nothing comes twice.
    let last = u64::try_from(UPDATES).unwrap() + 1;
    let mut versions = topic.versions_of(id, last).await;
    versions.dedup();
    assert_eq!(versions, (1..=last).collect::<Vec<_>>());
}

async fn something_is_left(database: &PgPool) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM patients.outbox)")
        .fetch_one(database)
        .await
        .unwrap()
}

/// The topic's records since it was opened.
pub(crate) struct Topic(BTreeMap<i32, (Arc<PartitionClient>, i64)>);

impl Topic {
    pub(crate) async fn listen() -> Self {
        let client = cluster().connect("test", PATIENCE).await.unwrap();
        let topics = client.list_topics().await.unwrap();
        let topic = topics
            .into_iter()
            .find(|topic| topic.name == PATIENT_EVENTS_TOPIC);
        let mut partitions = BTreeMap::new();
        for id in topic.unwrap().partitions {
            let partition = client
                .partition_client(PATIENT_EVENTS_TOPIC, id, UnknownTopicHandling::Error)
                .await
                .unwrap();
            let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
            partitions.insert(id, (Arc::new(partition), end));
        }
        Self(partitions)
    }

    /// The patient's versions in the order of their events, up to this one.
    pub(crate) async fn versions_of(mut self, patient_id: Uuid, last: u64) -> Vec<u64> {
        let key = patient_id.to_string().into_bytes();
        let mut versions = Vec::new();
        let all = async {
            while !versions.contains(&last) {
                for (partition, offset) in self.0.values_mut() {
                    let fetched = partition.fetch_records(*offset, 1..1_000_000, 100).await;
                    for record in fetched.unwrap().0 {
                        *offset = record.offset + 1;
                        if record.record.key.as_ref() == Some(&key) {
                            let event = record.record.value.unwrap();
                            let event = PatientEvent::decode(event.as_slice()).unwrap();
                            versions.push(event.patient_version);
                        }
                    }
                }
            }
        };
        let in_time = tokio::time::timeout(RUN, all).await;
        assert!(in_time.is_ok(), "waiting for version {last}: {versions:?}");
        versions
    }
}

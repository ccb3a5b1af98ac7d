//! How a role of AWS is let in by MSK, and what becomes of its records when its sessions end.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

mod msk;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};
use events::Producer;
use futures::future::join_all;
use kafka::{Cluster, ConnectError, testing::cluster_with_roles};
use msk::{AUTHORITY, Msk, REGION, Refusal};
use rskafka::client::{
    Client,
    partition::{OffsetAt, UnknownTopicHandling},
};
use uuid::Uuid;

const ID: &str = "ASIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "a session/with+signs==";

/// Each attempt may be made several times.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a function gets from Lambda: keys with a session.
fn keys(secret: &str, session: Option<&str>) -> Credentials {
    Credentials::new(ID, secret, session.map(ToOwned::to_owned), None, "test")
}

fn ours() -> Credentials {
    keys(SECRET, Some(SESSION))
}

fn cluster(msk: &Msk, keys: impl ProvideCredentials + 'static, region: &str) -> Cluster {
    cluster_with_roles(&msk.brokers(), AUTHORITY, keys, region).unwrap()
}

#[tokio::test]
async fn a_role_is_let_in_with_what_its_keys_have_signed() {
    let msk = Msk::start(ours()).await;
    let cluster = cluster(&msk, ours(), REGION);
    let client = cluster.connect("test", PATIENCE).await.unwrap();
    let topics = client.list_topics().await.unwrap();
    assert!(topics.iter().any(|topic| topic.name == "patient.events.v1"));
    assert_eq!((msk.opened(), msk.refused()), (1, 0));
}

#[tokio::test]
async fn whoever_signs_anything_else_is_refused_and_told_so() {
    let mut attempts = Vec::new();
    for (what, keys, region) in [
        (
            "with another secret",
            keys("another", Some(SESSION)),
            REGION,
        ),
        ("without its session", keys(SECRET, None), REGION),
        (
            "with another session",
            keys(SECRET, Some("another")),
            REGION,
        ),
        ("for another host", ours(), "eu-west-1"),
    ] {
        for refusal in [Refusal::Error, Refusal::Challenge] {
            let keys = keys.clone();
            attempts.push(async move {
                let lifetime = Duration::from_mins(15);
                let msk = Msk::start_with(ours(), Duration::ZERO, refusal, lifetime).await;
                assert_is_refused(&msk, keys, region, what).await;
            });
        }
    }
    // A client does not give up at once.
    join_all(attempts).await;
}

#[tokio::test]
async fn a_token_opens_nothing_after_a_quarter_of_an_hour() {
    let lifetime = Duration::from_mins(15);
    let nearly = Duration::from_secs(14 * 60 + 30);
    let msk = Msk::start_with(ours(), nearly, Refusal::Error, lifetime).await;
    let open = cluster(&msk, ours(), REGION)
        .connect("test", PATIENCE)
        .await;
    assert!(open.is_ok(), "{open:?}");
    let late = lifetime + Duration::from_secs(1);
    let msk = Msk::start_with(ours(), late, Refusal::Error, lifetime).await;
    assert_is_refused(&msk, ours(), REGION, "too late").await;
}

async fn assert_is_refused(msk: &Msk, keys: Credentials, region: &str, what: &str) {
    let refusal = cluster(msk, keys, region).connect("test", PATIENCE).await;
    assert!(
        matches!(refusal, Err(ConnectError::Credentials(_))),
        "{what}: {refusal:?}"
    );
    assert_eq!(msk.opened(), 0, "{what}");
    assert!(msk.refused() > 0, "{what}");
}

/// The keys of a role, which are replaced from time to time.
#[derive(Debug, Clone)]
struct Rotated(Arc<Mutex<Credentials>>);

impl ProvideCredentials for Rotated {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.0.lock().unwrap().clone()))
    }
}

#[tokio::test]
async fn nothing_is_lost_or_out_of_order_when_sessions_end_and_keys_are_replaced() {
    const SESSIONS: usize = 6;
    let lifetime = Duration::from_millis(200);
    let msk = Msk::start_with(ours(), Duration::ZERO, Refusal::Error, lifetime).await;
    let known = Rotated(Arc::new(Mutex::new(ours())));
    let topic = Topic::create().await;
    let producer = Producer::new(cluster(&msk, known.clone(), REGION), topic.name);
    let mut number: u32 = 0;
    let mut known_for = None;
    while msk.ended() < SESSIONS {
        // The next session needs the next keys.
        if known_for != Some(msk.ended()) {
            known_for = Some(msk.ended());
            let next = keys(&format!("secret {number}"), Some(SESSION));
            *known.0.lock().unwrap() = next.clone();
            msk.rotate(next);
        }
        let value = number.to_be_bytes().to_vec();
        let (key, id) = (Uuid::nil(), Uuid::now_v7());
        // On a busy machine, an attempt may take too long. As the outbox does, it is repeated.
        if producer.send(key, id, String::new(), value).await.is_ok() {
            number += 1;
        }
        assert_eq!(msk.refused(), 0);
    }
    let mut stored = topic.values().await;
    stored.dedup();
    // The last one may be there without our knowing.
    stored.truncate(number.try_into().unwrap());
    assert!(stored.into_iter().eq(0..number));
    topic.delete().await;
}

/// A topic with one partition.
struct Topic {
    name: &'static str,
    client: Client,
}

impl Topic {
    async fn create() -> Self {
        let cluster = Cluster::from_env().unwrap();
        let client = cluster.connect("test", PATIENCE).await.unwrap();
        // It lives as long as the program, as the name of any topic.
        let name: &str = format!("sessions.{}", Uuid::now_v7()).leak();
        let controller = client.controller_client().unwrap();
        controller.create_topic(name, 1, 1, 5_000).await.unwrap();
        Self { name, client }
    }

    async fn values(&self) -> Vec<u32> {
        let partition = self
            .client
            .partition_client(self.name, 0, UnknownTopicHandling::Retry)
            .await
            .unwrap();
        let end = partition.get_offset(OffsetAt::Latest).await.unwrap();
        let mut values = Vec::new();
        let mut next = 0;
        while next < end {
            let fetched = partition.fetch_records(next, 1..1_000_000, 1_000).await;
            for record in fetched.unwrap().0 {
                next = record.offset + 1;
                let value = record.record.value.unwrap();
                values.push(u32::from_be_bytes(value.try_into().unwrap()));
            }
        }
        values
    }

    async fn delete(self) {
        let controller = self.client.controller_client().unwrap();
        controller.delete_topic(self.name, 5_000).await.unwrap();
    }
}

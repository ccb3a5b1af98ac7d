//! Slow, silent or failing receivers do not hold up others for long.

use std::{
    io,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use billing_client::BillingClient;
use kafka::{Cluster, testing::Stream};
use patients::{
    outbox::{Delivery, Receivers},
    relay_outbox::relay_outbox,
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    net::{
        TcpListener,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use uuid::Uuid;

use crate::{
    fixtures::{Call, with, zoe},
    relay::{NO_ACCOUNTS, Topic, brokers, delivery_to_kafka, execute, register, relay},
};

/// The API key of a Produce request (<https://kafka.apache.org/protocol#protocol_api_keys>).
const PRODUCE: [u8; 2] = [0, 0];

/// A proxy to Kafka on which each record takes this long. It logs in to the broker itself, and lets
/// everybody in.
async fn slow_kafka(delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = kafka::testing::connect().await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_broker, to_broker) = tokio::io::split(broker);
            tokio::spawn(late(from_client, to_broker, delay));
            tokio::spawn(through_here(from_broker, to_client, port));
        }
    });
    format!("127.0.0.1:{port}")
}

/// Forwards requests, those that produce a record after a delay.
async fn late(
    mut from: OwnedReadHalf,
    mut to: WriteHalf<Box<dyn Stream>>,
    delay: Duration,
) -> io::Result<()> {
    loop {
        let message = message(&mut from).await?;
        if message[4..].starts_with(&PRODUCE) {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&message).await?;
        to.flush().await?;
    }
}

/// Forwards responses, and replaces the broker's port in them with this one.
async fn through_here(
    mut from: ReadHalf<Box<dyn Stream>>,
    mut to: OwnedWriteHalf,
    port: u16,
) -> io::Result<()> {
    let brokers = brokers();
    let (host, broker) = brokers.split_once(':').unwrap();
    let broker: i32 = broker.parse().unwrap();
    let there = [host.as_bytes(), &broker.to_be_bytes()].concat();
    let here = [host.as_bytes(), &i32::from(port).to_be_bytes()].concat();
    loop {
        let mut message = message(&mut from).await?;
        let places = message.windows(there.len()).enumerate();
        let places: Vec<_> = places
            .filter_map(|(place, bytes)| (bytes == there).then_some(place))
            .collect();
        for place in places {
            message[place..place + here.len()].copy_from_slice(&here);
        }
        to.write_all(&message).await?;
    }
}

/// The next request or response, preceded by its length.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut message = length.to_be_bytes().to_vec();
    message.resize(4 + usize::try_from(length).unwrap(), 0);
    from.read_exact(&mut message[4..]).await?;
    Ok(message)
}

async fn left(database: &PgPool, patient: Uuid) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM patients.outbox WHERE patient_id = $1")
        .bind(patient)
        .fetch_one(database)
        .await
        .unwrap()
}

/// Changes the patient this many times; the messages stay in the outbox.
async fn change(database: &PgPool, patient: Uuid, times: usize) {
    for number in 0..times {
        let changed = with(zoe(), "email", format!("{patient}.{number}@clinic.example"));
        let answer = Call::as_admin(database)
            .send(
                Method::PUT,
                &format!("/api/patients/{patient}"),
                Some(&changed),
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_patient_with_many_events_does_not_hold_up_others_while_kafka_is_slow(database: PgPool) {
    const EVENTS: usize = 24;
    let crowded = register(&database, 1).await[0];
    change(&database, crowded, EVENTS - 1).await;
    let behind = register(&database, 2).await;
    execute(&database, NO_ACCOUNTS).await;
    let topic = Topic::listen().await;
    // Sending all of the first patient's events takes longer than a transaction may be idle.
    let options = database.connect_options().as_ref().clone();
    let pool = store::pool_of(options.options([("idle_in_transaction_session_timeout", "5s")]));
    let billing = BillingClient::new("http://127.0.0.1:1", "a-token-that-nobody-asks-for").unwrap();
    let kafka = slow_kafka(Duration::from_millis(300)).await;
    let delivery = Delivery::new(Receivers::new(billing, Cluster::unprotected(&kafka)));

    let relayed = relay_outbox(&pool, &delivery, Instant::now() + Duration::from_secs(5)).await;
    assert!(relayed.unwrap().unfinished);
    for other in behind {
        assert_eq!(left(&database, other).await, 0);
    }
    assert!(left(&database, crowded).await > 0);

    assert_eq!(relay(&pool, &delivery).await.backlog, 0);
    let last = u64::try_from(EVENTS).unwrap();
    let versions = topic.versions_of(crowded, last).await;
    assert_eq!(versions, (1..=last).collect::<Vec<_>>());
}

#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn a_failure_in_the_database_holds_up_only_its_own_patient(database: PgPool) {
    let patients = register(&database, 3).await;
    execute(&database, NO_ACCOUNTS).await;
    let sql = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE DELETE ON patients.outbox
             FOR EACH ROW WHEN (OLD.patient_id = '{}') EXECUTE FUNCTION refuse()",
        patients[0]
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&database)
        .await
        .unwrap();

    for delivered in [2, 0] {
        let relayed = relay(&database, &delivery_to_kafka()).await;
        assert_eq!((relayed.delivered, relayed.backlog), (delivered, 1));
    }
    execute(&database, "DROP TRIGGER refuse ON patients.outbox").await;
    execute(&database, "UPDATE patients.outbox SET not_before = now()").await;
    assert_eq!(relay(&database, &delivery_to_kafka()).await.backlog, 0);
}

/// Billing is back, Kafka is not: the deliveries must not wait for what the first failures left.
#[sqlx::test(migrator = "crate::SCHEMAS")]
async fn accounts_are_opened_at_full_speed_while_kafka_is_silent(database: PgPool) {
    const PATIENTS: usize = 60;
    register(&database, PATIENTS).await;
    // It accepts connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kafka = silent.local_addr().unwrap().to_string();
    let delivery = Delivery::new(Receivers::new(
        BillingClient::from_env().unwrap(),
        Cluster::unprotected(&kafka),
    ));

    let begun = Instant::now();
    let relayed = relay(&database, &delivery).await;
    let kinds = crate::fixtures::outbox_kinds(&database).await;
    assert_eq!(kinds, ["PATIENT_EVENT"; PATIENTS], "{relayed:?}");
    assert_eq!(relayed.delivered, PATIENTS);
    // Three timeouts of Kafka, whatever the number of patients.
    assert!(begun.elapsed() < Duration::from_secs(12), "{relayed:?}");
}

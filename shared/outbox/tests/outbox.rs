//! The outboxes of two services on a real PostgreSQL, and one that publishes to a real Kafka.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use chrono::Utc;
use events::{Change, PatientEvent};
use kafka::Cluster;
use outbox::{Delivery, KafkaOnly, Kind, Message, Publisher, Relayed, SendError, Sender};
use sqlx::{AssertSqlSafe, PgPool};
use store::Transaction;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Longer than any run here takes.
const RUN: Duration = Duration::from_mins(2);

const SCHEMAS: [&str; 2] = ["one", "two"];

/// The messages of one of two services.
#[derive(Debug, Clone, Copy)]
struct Of<const SERVICE: usize>;

impl<const SERVICE: usize> Kind for Of<SERVICE> {
    type Receiver = ();

    const SCHEMA: &'static str = SCHEMAS[SERVICE];
    const ALL: &'static [Self] = &[Self];

    fn name(self) -> &'static str {
        "NOTE"
    }

    fn receiver(self) {}
}

/// Keeps what is sent, each time that it is told to go on.
#[derive(Debug, Clone)]
struct Receiver<const SERVICE: usize> {
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
    calls: Arc<Semaphore>,
}

impl<const SERVICE: usize> Receiver<SERVICE> {
    fn new(calls: usize) -> Self {
        Self {
            sent: Arc::default(),
            calls: Arc::new(Semaphore::new(calls)),
        }
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.sent.lock().unwrap().clone()
    }
}

impl<const SERVICE: usize> Sender for Receiver<SERVICE> {
    type Kind = Of<SERVICE>;
    type Error = Never;

    async fn send(&self, _: Uuid, message: Message<'_, Of<SERVICE>>) -> Result<(), Never> {
        self.calls.acquire().await.unwrap().forget();
        self.sent.lock().unwrap().push(message.payload.to_owned());
        Ok(())
    }
}

#[derive(Debug)]
struct Never(Infallible);

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

impl std::error::Error for Never {}

impl SendError for Never {
    fn is_outage(&self) -> bool {
        match self.0 {}
    }
}

/// A service that only publishes events.
#[derive(Debug, Clone, Copy)]
struct Service;

impl Publisher for Service {
    const SCHEMA: &'static str = SCHEMAS[0];
    const KIND: &'static str = "EVENT";
    type Event = PatientEvent;
}

/// The tables as the crate documents them.
async fn create_tables(database: &PgPool) {
    for schema in SCHEMAS {
        let sql = format!(
            "CREATE SCHEMA {schema};
             CREATE TABLE {schema}.outbox (
                 sequence    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                 patient_id  uuid        NOT NULL,
                 message_id  uuid        NOT NULL,
                 kind        text        NOT NULL,
                 payload     bytea       NOT NULL,
                 traceparent text        NOT NULL,
                 created_at  timestamptz NOT NULL DEFAULT now(),
                 attempts    integer     NOT NULL DEFAULT 0,
                 not_before  timestamptz NOT NULL DEFAULT '-infinity'
             );
             CREATE INDEX outbox_patient_sequence ON {schema}.outbox (patient_id, sequence);
             CREATE INDEX outbox_line
                 ON {schema}.outbox (greatest(created_at, not_before), sequence);"
        );
        let created = sqlx::raw_sql(AssertSqlSafe(sql)).execute(database).await;
        created.unwrap();
    }
}

async fn write(database: &PgPool, patient_id: Uuid, kind: impl Kind, text: &str) {
    let mut transaction = Transaction::begin(database).await.unwrap();
    let id = Uuid::now_v7();
    outbox::write(&mut transaction, patient_id, id, kind, text.into())
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

async fn relay<S: Sender>(database: &PgPool, delivery: &Delivery<S>) -> Relayed {
    let until = Instant::now() + RUN;
    let relayed = outbox::relay("relay-outbox", database, delivery, until).await;
    relayed.unwrap()
}

#[sqlx::test(migrations = false)]
async fn two_services_deliver_for_the_same_patient_at_once(database: PgPool) {
    create_tables(&database).await;
    let patient = Uuid::now_v7();
    write(&database, patient, Of::<0>, "of the first").await;
    write(&database, patient, Of::<1>, "of the second").await;
    let (slow, fast) = (Receiver::<0>::new(0), Receiver::<1>::new(1));

    // A pool of its own, because the deliveries hold connections.
    let pool = store::pool_of(database.connect_options().as_ref().clone());
    let in_progress = tokio::spawn({
        let delivery = Delivery::new(slow.clone());
        async move { relay(&pool, &delivery).await }
    });
    while !is_locked(&database, true).await {
        tokio::task::yield_now().await;
    }

    // Another delivery of the same service leaves the patient alone.
    let idle = Receiver::<0>::new(1);
    let relayed = relay(&database, &Delivery::new(idle)).await;
    assert_eq!((relayed.delivered, relayed.backlog), (0, 1));
    let relayed = relay(&database, &Delivery::new(fast.clone())).await;
    assert_eq!((relayed.delivered, relayed.backlog), (1, 0));
    assert_eq!(fast.sent(), [b"of the second"]);

    slow.calls.add_permits(1);
    assert_eq!(in_progress.await.unwrap().delivered, 1);
    assert_eq!(slow.sent(), [b"of the first"]);
}

#[sqlx::test(migrations = false)]
async fn a_request_delivers_in_order_and_leaves_the_rest_to_the_relay(database: PgPool) {
    create_tables(&database).await;
    let patient = Uuid::now_v7();
    let texts: Vec<_> = (0..25).map(|number| number.to_string()).collect();
    for text in &texts {
        write(&database, patient, Of::<0>, text).await;
    }
    let receiver = Receiver::<0>::new(22);
    let delivery = Delivery::new(receiver.clone());
    delivery.deliver_now(&database, patient).await;
    assert_eq!(receiver.sent().len(), 22);

    receiver.calls.add_permits(texts.len());
    // The request's delivery may end a moment after the request.
    let rest = async { while relay(&database, &delivery).await.backlog > 0 {} };
    tokio::time::timeout(RUN, rest).await.unwrap();
    let all: Vec<_> = texts.iter().map(String::as_bytes).collect();
    assert_eq!(receiver.sent(), all);
}

/// Whether somebody holds a lock of deliveries, or waits for it.
async fn is_locked(database: &PgPool, granted: bool) -> bool {
    let locked = "SELECT EXISTS (SELECT FROM pg_locks
         WHERE locktype = 'advisory' AND granted = $1 AND database = (
             SELECT oid FROM pg_database WHERE datname = current_database()
         ))";
    let locked = sqlx::query_scalar(locked).bind(granted);
    locked.fetch_one(database).await.unwrap()
}

/// A request is answered, and its environment frozen: it must not get the lock after that.
#[sqlx::test(migrations = false)]
async fn whom_nobody_waits_for_does_not_wait_for_the_lock(database: PgPool) {
    create_tables(&database).await;
    let patient = Uuid::now_v7();
    write(&database, patient, Of::<0>, "once").await;
    let slow = Receiver::<0>::new(0);
    let pool = store::pool_of(database.connect_options().as_ref().clone());
    let in_progress = tokio::spawn({
        let delivery = Delivery::new(slow.clone());
        async move { relay(&pool, &delivery).await }
    });
    while !is_locked(&database, true).await {
        tokio::task::yield_now().await;
    }

    let other = Receiver::<0>::new(1);
    let own_pool = store::pool_of(database.connect_options().as_ref().clone());
    Delivery::new(other.clone())
        .deliver_now(&own_pool, patient)
        .await;
    let gave_up = async {
        while is_locked(&database, false).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(RUN, gave_up).await.unwrap();
    slow.calls.add_permits(1);
    assert_eq!(in_progress.await.unwrap().delivered, 1);
    assert_eq!(other.sent(), Vec::<Vec<u8>>::new());
}

/// A kind that this version of the code does not know.
#[sqlx::test(migrations = false)]
async fn a_message_of_an_unknown_kind_is_rejected(database: PgPool) {
    create_tables(&database).await;
    let patient = Uuid::now_v7();
    write(&database, patient, Of::<0>, "from the future").await;
    sqlx::query("UPDATE one.outbox SET kind = 'LETTER'")
        .execute(&database)
        .await
        .unwrap();
    let receiver = Receiver::<0>::new(1);
    let delivery = Delivery::new(receiver.clone());
    delivery.deliver_now(&database, patient).await;
    assert_eq!(relay(&database, &delivery).await.backlog, 1);
    let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM one.outbox")
        .fetch_one(&database)
        .await
        .unwrap();
    assert_eq!(attempts, 1);
    assert!(receiver.sent().is_empty());
}

#[sqlx::test(migrations = false)]
async fn a_publishers_events_go_to_kafka(database: PgPool) {
    create_tables(&database).await;
    let event = PatientEvent {
        id: Uuid::now_v7(),
        occurred_at: Utc::now(),
        patient_id: Uuid::now_v7(),
        patient_version: 1,
        change: Change::Deleted,
    };
    let mut transaction = Transaction::begin(&database).await.unwrap();
    outbox::announce::<Service>(&mut transaction, &event)
        .await
        .unwrap();
    transaction.commit().await.unwrap();

    let nowhere = Delivery::new(KafkaOnly::<Service>::new(Cluster::unprotected(
        "127.0.0.1:1",
    )));
    let relayed = relay(&database, &nowhere).await;
    assert_eq!((relayed.delivered, relayed.backlog), (0, 1));
    let cluster = Cluster::from_env().expect("the settings of a stack");
    let delivery = Delivery::new(KafkaOnly::<Service>::new(cluster));
    delivery.deliver_now(&database, event.patient_id).await;
    assert_eq!(relay(&database, &nowhere).await.backlog, 0);
}

/// Notes how each transaction that writes to the outbox is committed.
const COMMITS: &str = "
    CREATE TABLE committed (what text, synchronous text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO committed VALUES (TG_OP, current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON one.outbox
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()";

async fn commits(database: &PgPool) -> Vec<String> {
    let sql = "WITH noted AS (DELETE FROM committed RETURNING *)
               SELECT DISTINCT what || ' ' || synchronous FROM noted ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(database).await.unwrap()
}

#[sqlx::test(migrations = false)]
async fn only_what_deletes_and_does_nothing_else_may_be_lost(database: PgPool) {
    create_tables(&database).await;
    sqlx::raw_sql(COMMITS).execute(&database).await.unwrap();
    let patient = Uuid::now_v7();
    write(&database, patient, Of::<0>, "first").await;
    assert_eq!(commits(&database).await, ["INSERT on"]);
    let receiver = Receiver::<0>::new(100);
    let delivery = Delivery::new(receiver.clone());
    delivery.deliver_now(&database, patient).await;
    assert_eq!(commits(&database).await, ["DELETE off"]);

    // What is behind the next message is read again: more than a transaction delivers.
    for _ in 0..25 {
        write(&database, patient, Of::<0>, "more").await;
    }
    commits(&database).await;
    assert_eq!(relay(&database, &delivery).await.backlog, 0);
    assert_eq!(
        commits(&database).await,
        ["DELETE off", "DELETE on", "UPDATE on"]
    );

    write(&database, patient, Of::<0>, "before").await;
    write(&database, patient, Of::<0>, "from the future").await;
    sqlx::raw_sql("UPDATE one.outbox SET kind = 'LETTER' WHERE payload = 'from the future'")
        .execute(&database)
        .await
        .unwrap();
    commits(&database).await;
    delivery.deliver_now(&database, patient).await;
    assert_eq!(commits(&database).await, ["DELETE on", "UPDATE on"]);
    assert_eq!(receiver.sent().len(), 27);
}

/// For two receivers, in turns: what is for one waits until the other has its own.
#[derive(Debug, Clone, Copy)]
enum Alternating {
    Bill,
    Event,
}

impl Kind for Alternating {
    type Receiver = bool;

    const SCHEMA: &'static str = SCHEMAS[0];
    const ALL: &'static [Self] = &[Self::Bill, Self::Event];

    fn name(self) -> &'static str {
        match self {
            Self::Bill => "BILL",
            Self::Event => "EVENT",
        }
    }

    fn receiver(self) -> bool {
        matches!(self, Self::Event)
    }
}

/// Accepts everything.
#[derive(Debug, Clone)]
struct Accepting;

impl Sender for Accepting {
    type Kind = Alternating;
    type Error = Never;

    async fn send(&self, _: Uuid, _: Message<'_, Alternating>) -> Result<(), Never> {
        Ok(())
    }
}

/// After an import, everybody waits in both queues, and in the second one behind the first.
#[sqlx::test(migrations = false)]
async fn the_relay_does_not_read_all_that_waits_for_each_page(database: PgPool) {
    const PATIENTS: i64 = 2_000;
    create_tables(&database).await;
    let sql = "INSERT INTO one.outbox (patient_id, message_id, kind, payload, traceparent)
               SELECT patient_id, gen_random_uuid(), kind, '', ''
               FROM (SELECT gen_random_uuid() AS patient_id FROM generate_series(1, $1)) AS patients,
                    unnest(ARRAY['BILL', 'EVENT', 'BILL']) WITH ORDINALITY AS kinds (kind, place)
               ORDER BY place";
    let inserted = sqlx::query(sql).bind(PATIENTS).execute(&database).await;
    inserted.unwrap();
    // One connection: what it has not told yet, nobody else knows.
    let options = database.connect_options().as_ref().clone();
    let database = store::pool_with(options, 1, RUN);
    let before = read(&database).await;
    let relayed = relay(&database, &Delivery::new(Accepting)).await;
    assert_eq!((relayed.delivered, relayed.backlog), (6_000, 0));
    let read = read(&database).await - before;
    let messages = 3 * PATIENTS;
    // Looking for heads, for the messages of each, and deleting them.
    assert!(
        read > messages && read < 20 * messages,
        "{read} for {messages} messages"
    );
}

/// How many rows and entries of the outbox were read so far.
async fn read(database: &PgPool) -> i64 {
    let flush = sqlx::query("SELECT pg_stat_force_next_flush()");
    flush.execute(database).await.unwrap();
    let sql = "SELECT seq_tup_read + (SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
                                      WHERE relid = 'one.outbox'::regclass)
               FROM pg_stat_user_tables WHERE relid = 'one.outbox'::regclass";
    sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
}

/// Who has more than one transaction delivers goes on, also if the queue was read before they came.
#[sqlx::test(migrations = false)]
async fn a_patient_who_comes_late_with_many_messages_has_all_of_them_delivered(database: PgPool) {
    create_tables(&database).await;
    let patient = Uuid::now_v7();
    write(&database, patient, Alternating::Bill, "first").await;
    for _ in 0..50 {
        write(&database, patient, Alternating::Event, "more").await;
    }
    let pool = store::pool_of(database.connect_options().as_ref().clone());
    let relayed = relay(&pool, &Delivery::new(Accepting)).await;
    assert_eq!((relayed.delivered, relayed.backlog), (51, 0));
}

/// Accepts everything, but takes its time for it.
#[derive(Debug, Clone, Default)]
struct Slow(Arc<Mutex<Vec<Uuid>>>);

impl Sender for Slow {
    type Kind = Alternating;
    type Error = Never;

    async fn send(&self, patient: Uuid, _: Message<'_, Alternating>) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(60)).await;
        self.0.lock().unwrap().push(patient);
        Ok(())
    }
}

#[sqlx::test(migrations = false)]
async fn who_comes_while_another_has_many_messages_does_not_wait_for_all_of_them(database: PgPool) {
    create_tables(&database).await;
    let (many, late) = (Uuid::now_v7(), Uuid::now_v7());
    // The queue of events is at its end before this patient comes into it.
    write(&database, many, Alternating::Bill, "first").await;
    for _ in 0..150 {
        write(&database, many, Alternating::Event, "more").await;
    }
    let sender = Slow::default();
    let newcomer = async {
        while sender.0.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        write(&database, late, Alternating::Event, "late").await;
    };
    let pool = store::pool_of(database.connect_options().as_ref().clone());
    let delivery = Delivery::new(sender.clone());
    let (relayed, ()) = tokio::join!(relay(&pool, &delivery), newcomer);
    assert_eq!((relayed.delivered, relayed.backlog), (152, 0));
    let sent = sender.0.lock().unwrap();
    assert_ne!(sent.last(), Some(&late));
}

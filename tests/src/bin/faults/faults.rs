//! What fails and when, and restoring it afterwards.

mod billing;
mod consumers;
mod functions;
mod kafka;
mod records;
mod stores;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use futures::future::try_join_all;
use serde::Serialize;
use sqlx::PgPool;
use system_tests::{Clinic, Process, Restart, Stack};
use tokio::sync::Mutex as AsyncMutex;

use crate::{between, clients::Load, say::say};

pub(crate) use billing::heal;
pub(crate) use records::{INJECTED, Injected};

/// How many faults may happen at the same time, unless they need the same part.
const LANES: usize = 2;

/// The pause between two faults of a lane, in milliseconds.
const REST: (u64, u64) = (200, 2_000);

/// A way in which the system fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// kill -9 of the billing service
    BillingKilled,
    /// The billing service is frozen repeatedly
    BillingSlow,
    /// The billing service returns errors: its table is gone
    BillingFails,
    /// The billing service loses its connections to the database, in the middle of its work
    BillingCutOff,
    /// kill -9 of the broker
    KafkaKilled,
    /// The broker accepts connections and does not respond
    KafkaSilent,
    /// The broker is frozen repeatedly
    KafkaSlow,
    /// Logins to the broker are valid for a moment only
    KafkaSessions,
    /// The broker's certificate is replaced
    KafkaCertificate,
    /// kill -9 of a function in the middle of a client's request
    RequestKilled,
    /// kill -9 of a function that has answered, before others have heard of the change
    DeliveryKilled,
    /// kill -9 of a function in the middle of a booking client's request
    BookingKilled,
    /// kill -9 of a function in the middle of a cashier's request
    CashierKilled,
    /// kill -9 of relay-outbox while it runs
    RelayKilled,
    /// kill -9 of relay-appointment-events while it runs
    BookingRelayKilled,
    /// kill -9 of relay-billing-events while it runs
    BillingRelayKilled,
    /// Several relays at the same time
    RelaysAtOnce,
    /// kill -9 of send-due-messages
    SenderKilled,
    /// kill -9 of run-imports
    ImportKilled,
    /// kill -9 of the consumers
    ConsumersKilled,
    /// The consumers receive nothing for a while
    ConsumersAway,
    /// The database is killed or restarted
    Postgres,
    /// The database is frozen repeatedly, in the middle of its work
    PostgresSlow,
    /// Connections to the database whose other end does not respond any more
    PostgresHalfOpen,
    /// The certificate of the database is replaced
    PostgresCertificate,
    /// DynamoDB is restarted
    Dynamodb,
    /// Records that cannot be decoded, and old ones sent again
    BadRecords,
}

impl FaultKind {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A fault that happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happened {
    pub(crate) kind: FaultKind,
    pub(crate) from: DateTime<Utc>,
    pub(crate) to: DateTime<Utc>,
}

/// Where faults happen. A fault locks the parts that it affects.
pub(crate) struct Stage {
    pub(crate) load: Arc<Load>,
    pub(crate) database: PgPool,
    /// The ends of the topic's partitions when the run began.
    topic: BTreeMap<i32, i64>,
    happened: Mutex<Vec<Happened>>,
    injected: Mutex<Vec<Injected>>,
    under_way: Mutex<HashMap<FaultKind, Instant>>,
    random: Mutex<fastrand::Rng>,
    billing: AsyncMutex<()>,
    kafka: AsyncMutex<()>,
    consumers: AsyncMutex<()>,
    postgres: AsyncMutex<()>,
    dynamodb: AsyncMutex<()>,
    /// The orchestrator can only do one thing at a time.
    orchestrator: AsyncMutex<()>,
}

impl Stage {
    /// A stage before any fault.
    pub(crate) fn new(
        load: Arc<Load>,
        database: PgPool,
        topic: BTreeMap<i32, i64>,
        seed: u64,
    ) -> Self {
        Self {
            load,
            database,
            topic,
            happened: Mutex::default(),
            injected: Mutex::default(),
            under_way: Mutex::default(),
            // Independent of the clients' choices.
            random: Mutex::new(fastrand::Rng::with_seed(!seed)),
            billing: AsyncMutex::default(),
            kafka: AsyncMutex::default(),
            consumers: AsyncMutex::default(),
            postgres: AsyncMutex::default(),
            dynamodb: AsyncMutex::default(),
            orchestrator: AsyncMutex::default(),
        }
    }

    /// All faults so far.
    pub(crate) fn happened(&self) -> Vec<Happened> {
        let happened = self.happened.lock();
        happened.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every record that was injected into the topic.
    pub(crate) fn injected(&self) -> Vec<Injected> {
        let injected = self.injected.lock();
        injected.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often each of these faults has happened.
    pub(crate) fn tally(&self, kinds: &[FaultKind]) -> BTreeMap<FaultKind, u32> {
        let mut tally: BTreeMap<_, _> = kinds.iter().map(|kind| (*kind, 0)).collect();
        for happened in self.happened() {
            *tally.entry(happened.kind).or_default() += 1;
        }
        tally
    }

    /// The faults that are happening right now.
    pub(crate) fn under_way(&self) -> Vec<String> {
        let under_way = self.under_way.lock();
        let under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = under_way.keys().map(|kind| kind.name()).collect();
        names.sort();
        names
    }

    fn clinic(&self) -> &Clinic {
        &self.load.clinic
    }

    /// A random number generator for one fault, independent of what others draw meanwhile.
    fn random(&self) -> fastrand::Rng {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.fork()
    }

    /// Restarts a service.
    async fn restart(&self, restart: Restart) -> Result<()> {
        let _turn = self.orchestrator.lock().await;
        tokio::task::spawn_blocking(move || restart.now())
            .await
            .context("a service did not restart")
    }

    /// Causes a fault of this kind, and repairs it at the end.
    async fn happen(&self, kind: FaultKind) -> Result<()> {
        let random = &mut self.random();
        match kind {
            FaultKind::BillingKilled => billing::killed(self, random).await,
            FaultKind::BillingSlow => billing::slow(self, random).await,
            FaultKind::BillingFails => billing::fails(self, random).await,
            FaultKind::BillingCutOff => billing::cut_off(self, random).await,
            FaultKind::KafkaKilled => kafka::killed(self, random).await,
            FaultKind::KafkaSilent => kafka::silent(self, random).await,
            FaultKind::KafkaSlow => kafka::slow(self, random).await,
            FaultKind::KafkaSessions => kafka::sessions(self, random).await,
            FaultKind::KafkaCertificate => kafka::certificate(self, random).await,
            FaultKind::RequestKilled => functions::request_killed(self, random).await,
            FaultKind::DeliveryKilled => functions::delivery_killed(self, random).await,
            FaultKind::BookingKilled => functions::booking_killed(self, random).await,
            FaultKind::CashierKilled => functions::cashier_killed(self, random).await,
            FaultKind::RelayKilled
            | FaultKind::BookingRelayKilled
            | FaultKind::BillingRelayKilled => functions::relay_killed(self, kind, random).await,
            FaultKind::SenderKilled | FaultKind::ImportKilled => {
                functions::killed_repeatedly(self, kind, random).await
            }
            FaultKind::RelaysAtOnce => functions::relays_at_once(self, random).await,
            FaultKind::ConsumersKilled => consumers::killed(self, random).await,
            FaultKind::ConsumersAway => consumers::away(self, random).await,
            FaultKind::Postgres => stores::postgres(self, random).await,
            FaultKind::PostgresSlow => stores::postgres_slow(self, random).await,
            FaultKind::PostgresHalfOpen => stores::postgres_half_open(self, random).await,
            FaultKind::PostgresCertificate => stores::postgres_certificate(self).await,
            FaultKind::Dynamodb => stores::dynamodb(self, random).await,
            FaultKind::BadRecords => records::bad_records(self, random).await,
        }
        .with_context(|| kind.name())
    }

    /// Records that a fault begins, once it has locked the parts that it needs.
    fn begin(&self, kind: FaultKind) -> UnderWay<'_> {
        let under_way = self.under_way.lock();
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        under_way.insert(kind, Instant::now());
        UnderWay {
            stage: self,
            kind,
            from: Utc::now(),
        }
    }
}

/// A fault while it lasts.
struct UnderWay<'a> {
    stage: &'a Stage,
    kind: FaultKind,
    from: DateTime<Utc>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let under_way = self.stage.under_way.lock();
        let mut under_way = under_way.unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.kind);
        let happened = self.stage.happened.lock();
        let mut happened = happened.unwrap_or_else(PoisonError::into_inner);
        happened.push(Happened {
            kind: self.kind,
            from: self.from,
            to: Utc::now(),
        });
    }
}

/// Causes every kind of fault at least `each` times, in random order, and goes on until there are
/// enough changes.
///
/// # Errors
/// If a fault cannot be caused or repaired.
pub(crate) async fn happen(stage: &Stage, kinds: &[FaultKind], each: u32) -> Result<()> {
    let mut deck = Vec::new();
    for _ in 0..each {
        let mut round = kinds.to_vec();
        stage.random().shuffle(&mut round);
        deck.extend(round);
    }
    deck.reverse();
    let deck = Mutex::new(deck);
    // On this task, so that a fault that cannot be repaired ends the run.
    let lanes = (0..LANES).map(|_| lane(stage, &deck, kinds));
    try_join_all(lanes).await.map(drop)
}

async fn lane(stage: &Stage, deck: &Mutex<Vec<FaultKind>>, kinds: &[FaultKind]) -> Result<()> {
    let mut random = stage.random();
    // The clients start with a healthy system.
    while stage.load.acknowledged.load(Ordering::Relaxed) < 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    loop {
        tokio::time::sleep(between(&mut random, REST.0, REST.1)).await;
        let next = deck.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let kind = match next.or_else(|| random.choice(kinds.iter().copied())) {
            Some(kind) if next.is_some() || !stage.load.is_enough() => kind,
            Some(_) => return Ok(()),
            // Without faults, the clients just go on.
            None if stage.load.is_enough() => return Ok(()),
            None => continue,
        };
        stage.happen(kind).await?;
    }
}

/// Repairs what is not repaired automatically when this program is interrupted: guards deal with
/// killed or frozen processes, but not with a renamed table.
pub(crate) async fn heal_after_interruption() {
    let healed = match store::pool("faults") {
        Ok(database) => heal(&database).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = healed {
        say(&format!("the stack stays broken: {error:#}"));
    }
}

/// Freezes these processes repeatedly for a few seconds, so that their work takes longer: some of
/// their callers reach their timeout, others just do not.
async fn slow_down<P>(
    random: &mut fastrand::Rng,
    processes: impl AsyncFn() -> Result<P>,
) -> Result<()>
where
    P: IntoIterator<Item = Process>,
{
    let end = Instant::now() + between(random, 3_000, 6_000);
    while Instant::now() < end {
        let processes = processes().await?;
        let frozen: Vec<_> = processes.into_iter().map(Process::freeze).collect();
        tokio::time::sleep(between(random, 200, 1_500)).await;
        drop(frozen);
        tokio::time::sleep(between(random, 20, 150)).await;
    }
    Ok(())
}

/// The current stack: restarted services have new processes.
fn stack() -> Result<Stack> {
    Ok(Stack::from_env()?)
}
